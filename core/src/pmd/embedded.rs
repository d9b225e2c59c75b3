//! A PMD inside a host process.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::canary::{self, Canary};
use crate::dispatch::{Callbacks, Handler, Inbox};
use crate::error::{Error, ErrorKind, Result};
use crate::fork;
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
    callbacks: Callbacks<PmdNotice, Infallible>,
    // Protects only the thread's handle.
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    served: Inbox<Infallible>,
    fork_generation: u64,
    canary: Arc<Canary>,
}

impl Pmd {
    /// Binds the port and starts serving. When this returns, clients can connect.
    ///
    /// Errors: `address_in_use`, `insecure`, `io`.
    pub fn start(options: PmdOptions) -> Result<Self> {
        let canary = Canary::current()
            .map_err(|error| Error::io("cannot open a descriptor for the PMD", &error))?;
        let mut server = Server::bind(options)?;
        server.watch_over(canary.clone());
        let addresses = server.addresses().to_vec();
        let control = server.control();
        let events = Inbox::new(MailboxConfig {
            messages_max: limits::EVENTS_MAX,
            overflow: Overflow::DropOldest,
            ..MailboxConfig::default()
        });
        // Its handlers are for notices only; the other queue says when the server has ended.
        let served = Inbox::new(MailboxConfig::default());
        let callbacks = Callbacks::new(events.clone(), served.clone(), Arc::default());
        let (inbox, ended) = (events.clone(), served.clone());
        let thread = crate::threads::spawn("distflow-pmd", move || {
            let result = server.run(|notice| report(&inbox, notice));
            if let Err(error) = result {
                tracing::error!(%error, "the embedded PMD ended");
            }
            inbox.close();
            ended.close();
        })
        .map_err(|error| Error::io("cannot start the PMD's thread", &error))?;
        Ok(Self {
            addresses,
            control,
            events,
            callbacks,
            thread: Mutex::new(Some(thread)),
            served,
            fork_generation: fork::generation(),
            canary,
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
    /// Errors: `closed` when the PMD has ended, `forked`.
    pub fn nodes(&self) -> Result<Vec<Arc<Register>>> {
        self.check_fork()?;
        if self.canary.look() {
            self.stop();
            return Err(canary::gone());
        }
        const ANSWER_S: u64 = 5;
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.control.send(Command::Snapshot(Box::new(move |nodes| {
            // The asker may have given up.
            let _ = reply.send(nodes);
        })));
        // A server that ended before it read the command answers nothing, but closes its queue.
        let answer = async {
            tokio::select! {
                biased;
                nodes = answer => nodes.ok(),
                _ = self.served.recv() => None,
            }
        };
        match block_on_timeout(answer, Some(Duration::from_secs(ANSWER_S))) {
            Some(Some(nodes)) if self.is_running() => Ok(nodes),
            _ => Err(Error::new(ErrorKind::Closed, "the PMD has ended")),
        }
    }

    /// Joins, leaves and the end, to be received; 16,384 wait at most, then the oldest go.
    pub fn events(&self) -> &Inbox<PmdNotice> {
        &self.events
    }

    /// Adds a handler that is called with every notice, on a callback thread of this PMD. Handlers
    /// and [`Pmd::events`] compete for notices.
    ///
    /// Errors: `closed` when the PMD has ended, `forked`.
    pub fn on_event(&self, handler: impl Fn(&PmdNotice) + Send + Sync + 'static) -> Result<()> {
        self.check_fork()?;
        self.callbacks
            .on_first(Handler::Each(Box::new(handler)))
            .map(drop)
    }

    /// Whether this is the PMD's callback thread.
    pub fn is_callback_thread(&self) -> bool {
        self.check_fork().is_ok() && self.callbacks.is_current_thread()
    }

    /// Calls no handler any more, beyond one that runs right now, and drops them all.
    pub fn stop_callbacks(&self) {
        if self.check_fork().is_ok() {
            self.callbacks.stop();
        }
    }

    /// Whether it still serves.
    pub fn is_running(&self) -> bool {
        self.check_fork().is_ok() && !self.served.is_closed()
    }

    /// Flushes, closes every connection and waits for the end, at most about half a second, but
    /// not for handlers. Safe to call twice.
    pub fn stop(&self) {
        if self.check_fork().is_err() {
            return;
        }
        if self.canary.look() {
            // Its thread can't be woken, and has nothing to wait for.
            self.events.close();
            self.served.close();
            return;
        }
        self.control.stop();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            // The thread only panics on a defect, which the panic hook has reported.
            let _ = thread.join();
        }
    }

    /// Like [`Pmd::stop`], and waits until the handlers have seen the last notice; when three
    /// quarters of the limit are over, what still waits for them is left in the queue.
    ///
    /// Errors: `timeout` when the limit is over; call again to wait on. `forked`.
    pub fn stop_within(&self, limit: Duration) -> Result<()> {
        self.check_fork()?;
        let begun = Instant::now();
        if self.canary.look() {
            self.stop();
        } else {
            self.control.stop();
        }
        let ended = async {
            // Nothing comes; it ends when the server has.
            let _ = self.served.recv().await;
            if !self.callbacks.is_current_thread() {
                self.callbacks.ended().await;
            }
        };
        if block_on_timeout(ended, Some(limit / 4 * 3)).is_none() {
            self.callbacks.stop();
            let left = limit.saturating_sub(begun.elapsed());
            let ended = async {
                let _ = self.served.recv().await;
                self.callbacks.ended().await;
            };
            if block_on_timeout(ended, Some(left)).is_none() {
                return Err(Error::new(
                    ErrorKind::Timeout,
                    "the PMD did not end in time; a callback may still run",
                ));
            }
        }
        self.stop();
        Ok(())
    }

    fn check_fork(&self) -> Result<()> {
        if fork::generation() == self.fork_generation {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Forked,
            "this PMD belongs to the parent process",
        ))
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
            tracing::info!(node = %node.node_id, alias = node.alias.as_ref().map(|alias| alias.as_str()), "node joined");
            PmdNotice::Joined(node.clone())
        }
        ServerNotice::Registry(Notice::Left(node, cause)) => {
            tracing::info!(node = %node.node_id, alias = node.alias.as_ref().map(|alias| alias.as_str()), reason = cause.name(), "node left");
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
