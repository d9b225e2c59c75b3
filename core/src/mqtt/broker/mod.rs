//! A broker in the box, for games on a LAN, demos and tests: MQTT 3.1.1 and 5 on the same port.
//!
//! `state` is the broker as a machine, with `client`, `retained` and `subscriptions`; `server` and
//! `connection` are its sockets, on one thread of its own. Bytes of clients pass `frame` before the
//! library that reads packets sees them. `docs/sessions.md` says why the broker is not a library's.

mod access;
mod client;
mod connection;
mod frame;
mod packet;
mod retained;
mod server;
mod state;
mod store;
mod subscriptions;
#[cfg(test)]
mod tests;
mod topic;
mod v4;
mod v5;

use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::thread::JoinHandle;

use tokio::sync::watch;

pub use self::access::Access;
use self::server::Shared;
use self::state::State;
use self::store::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::random_u64;
use crate::limits::{BROKER_CLIENTS_MAX, BROKER_DESCRIPTORS_SPARED};

/// How a broker serves.
#[derive(Debug, Default)]
pub struct BrokerSettings {
    /// Addresses to listen on; port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// Who may connect, and to what.
    pub access: Access,
    /// Folder in which retained messages are kept for the next start; without one they are in memory only.
    pub keep_in: Option<PathBuf>,
    /// Clients at once, if fewer than the broker and the file descriptors of the process allow.
    pub clients_max: Option<usize>,
}

/// A running broker. It ends when it is dropped.
///
/// Whoever can reach its address can read and write everything, unless `access` says otherwise.
#[derive(Debug)]
pub struct Broker {
    addresses: Vec<SocketAddr>,
    clients_max: usize,
    stop: Stop,
    thread: Option<JoinHandle<Result<()>>>,
}

/// Ends a broker, from any thread.
#[derive(Debug, Clone)]
pub struct Stop(watch::Sender<bool>);

impl Stop {
    /// Asks the broker to end: clients are told, and what is retained is kept.
    pub fn stop(&self) {
        let _ = self.0.send(true);
    }
}

impl Broker {
    /// Starts a broker on a thread of its own. When this returns, it answers.
    ///
    /// Errors: `address_in_use`; `io`; `busy` and `invalid_message` for the folder (see [`BrokerSettings::keep_in`]).
    pub fn start(settings: BrokerSettings) -> Result<Self> {
        let mut listeners = Vec::new();
        let mut addresses = Vec::new();
        for address in &settings.listen {
            let (listener, address) = bind(*address)?;
            listeners.push(listener);
            addresses.push(address);
        }
        let store = settings.keep_in.as_deref().map(Store::open).transpose()?;
        let clients_max = clients_max().min(settings.clients_max.unwrap_or(usize::MAX));
        let (stop, stopped) = watch::channel(false);
        let access = settings.access;
        let run = move || {
            let failed = |error| Error::io("cannot run the broker", &error);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(failed)?;
            let tasks = tokio::task::LocalSet::new();
            let served = tasks.block_on(&runtime, async {
                let listeners = listeners.into_iter().map(tokio::net::TcpListener::from_std);
                let listeners = listeners.collect::<std::io::Result<_>>().map_err(failed)?;
                let state = State::new(access, clients_max, random_u64());
                let shared = Shared::new(state, store);
                server::serve(shared, listeners, stopped, clients_max).await
            });
            if let Err(error) = &served {
                tracing::error!(%error, "the broker has ended");
            }
            served
        };
        let thread = crate::threads::spawn("distflow-broker", move || {
            catch_unwind(AssertUnwindSafe(run))
                .unwrap_or_else(|panic| Err(server::panicked(panic.as_ref())))
        })
        .map_err(|error| Error::io("cannot start the broker's thread", &error))?;
        Ok(Self {
            addresses,
            clients_max,
            stop: Stop(stop),
            thread: Some(thread),
        })
    }

    /// The addresses it listens on, with their ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Number of clients that it serves at once.
    pub fn clients_max(&self) -> usize {
        self.clients_max
    }

    /// What ends it from another thread.
    pub fn stopper(&self) -> Stop {
        self.stop.clone()
    }

    /// Waits until it has ended.
    ///
    /// Error: `panic` when it has failed.
    pub fn wait(mut self) -> Result<()> {
        self.join()
    }

    fn join(&mut self) -> Result<()> {
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(ended)) => ended,
            Some(Err(panic)) => Err(server::panicked(panic.as_ref())),
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop.stop();
        let _ = self.join();
    }
}

fn bind(listen: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let failed = |error: std::io::Error| {
        let kind = match error.kind() {
            std::io::ErrorKind::AddrInUse => ErrorKind::AddressInUse,
            _ => ErrorKind::Io,
        };
        Error::new(kind, format!("cannot listen on {listen}: {error}"))
    };
    let listener = TcpListener::bind(listen).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Clients for whom this process has file descriptors.
fn clients_max() -> usize {
    let descriptors = descriptors().map_or(BROKER_CLIENTS_MAX, |(soft, _)| soft as usize);
    descriptors
        .saturating_sub(BROKER_DESCRIPTORS_SPARED)
        .clamp(1, BROKER_CLIENTS_MAX)
}

/// Raises the number of file descriptors that this process may have, as far as a full broker needs and the
/// system lets it.
pub fn raise_descriptors() {
    let Some((soft, hard)) = descriptors() else {
        return;
    };
    let wanted = (BROKER_CLIENTS_MAX + BROKER_DESCRIPTORS_SPARED) as u64;
    let limit = libc::rlimit {
        rlim_cur: wanted.min(hard),
        rlim_max: hard,
    };
    if limit.rlim_cur > soft {
        // SAFETY: it reads one struct, which lives longer than the call.
        unsafe {
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

/// The soft and the hard limit of file descriptors.
fn descriptors() -> Option<(u64, u64)> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: it writes one struct, which lives longer than the call.
    let found = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    (found == 0).then_some((limit.rlim_cur, limit.rlim_max))
}
