//! A PMD inside a host process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::dispatch::Inbox;
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::mailbox::{MailboxConfig, Overflow};
use crate::park::block_on_timeout;
use crate::pmd::control::{Command, Control};
use crate::pmd::options::PmdOptions;
use crate::pmd::server::{Server, ServerNotice};
use crate::registry::{Notice, StopReason};
use crate::wire::pmd::{LeaveCause, Register};

/// What an embedded PMD reports.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PmdNotice {
    /// A node registered.
    Joined(Arc<Register>),
    /// A node left.
    Left(Arc<Register>, LeaveCause),
    /// The PMD ended: a client asked for it, no node was left for the configured time, or
    /// (`None`) its owner stopped it.
    Stopped(Option<StopReason>),
}

/// A running PMD on a thread of its own. It never exits the host; dropping it stops it.
pub struct Pmd {
    addresses: Vec<SocketAddr>,
    control: Control,
    events: Inbox<PmdNotice>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Pmd {
    /// Binds the port and starts serving. When this returns, clients can connect.
    ///
    /// Errors: `address_in_use`, `insecure`, `io`.
    pub fn start(options: PmdOptions) -> Result<Self> {
        let server = Server::bind(options)?;
        let addresses = server.addresses().to_vec();
        let control = server.control();
        let events = Inbox::new(MailboxConfig {
            messages_max: limits::EVENTS_MAX,
            overflow: Overflow::DropOldest,
            ..MailboxConfig::default()
        });
        let inbox = events.clone();
        let thread = std::thread::Builder::new()
            .name("distflow-pmd".into())
            .spawn(move || {
                let result = server.run(|notice| report(&inbox, notice));
                if let Err(error) = result {
                    tracing::error!(%error, "the embedded PMD ended");
                }
                inbox.close();
            })
            .map_err(|error| Error::io("cannot start the PMD's thread", &error))?;
        Ok(Self {
            addresses,
            control,
            events,
            thread: Some(thread),
        })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.addresses.first().map_or(0, SocketAddr::port)
    }

    /// The addresses it listens on.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The registered nodes in order of registration. Blocks for one turn of the server.
    ///
    /// Errors: `closed` when the PMD has ended.
    pub fn nodes(&self) -> Result<Vec<Arc<Register>>> {
        const ANSWER_S: u64 = 5;
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.control.send(Command::Snapshot(Box::new(move |nodes| {
            // The asker may have given up.
            let _ = reply.send(nodes);
        })));
        // A server that ended before it read the command drops neither; the time bounds that.
        match block_on_timeout(answer, Some(Duration::from_secs(ANSWER_S))) {
            Some(Ok(nodes)) if self.is_running() => Ok(nodes),
            _ => Err(Error::new(ErrorKind::Closed, "the PMD has ended")),
        }
    }

    /// Joins, leaves and the end, to be received; 16,384 wait at most, then the oldest go.
    pub fn events(&self) -> &Inbox<PmdNotice> {
        &self.events
    }

    /// Whether it still serves.
    pub fn is_running(&self) -> bool {
        self.thread
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
    }

    /// Flushes, closes every connection and waits for the end, at most about half a second.
    /// Safe to call twice.
    pub fn stop(&mut self) {
        self.control.stop();
        if let Some(thread) = self.thread.take() {
            // The thread only panics on a defect, which the panic hook has reported.
            let _ = thread.join();
        }
    }
}

impl Drop for Pmd {
    fn drop(&mut self) {
        self.stop();
    }
}

fn report(inbox: &Inbox<PmdNotice>, notice: ServerNotice<'_>) {
    let event = match notice {
        ServerNotice::Registry(Notice::Joined(node)) => {
            tracing::info!(node = %node.node_id, alias = ?node.alias, "node joined");
            PmdNotice::Joined(node.clone())
        }
        ServerNotice::Registry(Notice::Left(node, cause)) => {
            tracing::info!(node = %node.node_id, alias = ?node.alias, reason = cause.name(), "node left");
            PmdNotice::Left(node.clone(), *cause)
        }
        ServerNotice::Stopping(reason) => PmdNotice::Stopped(reason),
        ServerNotice::Registry(Notice::BadFrame(text)) => {
            tracing::debug!(reason = text, "bad frame");
            return;
        }
        ServerNotice::Connection(text) => {
            tracing::debug!(reason = text, "connection");
            return;
        }
        ServerNotice::Registry(_) => return,
    };
    inbox.push(event, 0);
}
