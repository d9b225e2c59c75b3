//! The sockets of the broker: one thread, a task for each connection, and the machine of [`super::state`] that they
//! share.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::connection::{Link, serve as serve_connection};
use super::packet::Reason;
use super::state::{Output, Said, State};
use super::store::{Store, Stored};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{
    ACCEPT_RETRY_MS, BROKER_DESCRIPTORS_SPARED, BROKER_FLUSH_MS, BROKER_READ_BYTES, BROKER_TRIM_MS,
};
use crate::time::Clock;

/// What the tasks of a broker share, on their one thread.
pub(super) struct Shared {
    pub state: State,
    /// The buffer that all connections are read into.
    pub scratch: Box<[u8]>,
    /// Bytes of packets that are not whole or not written.
    pub buffered: usize,
    clock: Clock,
    links: HashMap<u64, Rc<Link>>,
    store: Option<Store>,
    again: VecDeque<u64>,
    timer: Rc<Notify>,
    wakes_at_ms: Option<u64>,
    trims_at_ms: Option<u64>,
    next_connection: u64,
}

impl Shared {
    pub fn new(mut state: State, store: Option<(Store, Vec<Stored>)>) -> Self {
        let clock = Clock::new();
        let now = clock.now();
        let store = store.map(|(store, kept)| {
            for (message, ends_at_ms) in kept {
                let left_ms = ends_at_ms.map(|at_ms| at_ms.saturating_sub(now.wall_ms));
                state.restore(
                    message,
                    left_ms.map(|left_ms| now.mono_ms + left_ms),
                    now.mono_ms,
                );
            }
            store
        });
        Self {
            state,
            scratch: vec![0; BROKER_READ_BYTES].into_boxed_slice(),
            buffered: 0,
            clock,
            links: HashMap::new(),
            store,
            again: VecDeque::new(),
            timer: Rc::new(Notify::new()),
            wakes_at_ms: None,
            trims_at_ms: None,
            next_connection: 1,
        }
    }

    pub fn now_ms(&self) -> u64 {
        self.clock.now().mono_ms
    }

    /// Lets the machine make a step, and carries out what it wants.
    pub fn step(&mut self, step: impl FnOnce(&mut State, u64)) {
        let now_ms = self.now_ms();
        step(&mut self.state, now_ms);
        while let Some(output) = self.state.pop_output() {
            match output {
                Output::Send(connection, packets) => {
                    if let Some(link) = self.links.get(&connection) {
                        link.send(packets);
                    }
                }
                Output::Close(connection, reason) => {
                    if let Some(link) = self.links.get(&connection) {
                        link.close(reason);
                    }
                }
                Output::Again(connection) => self.again.push_back(connection),
                Output::Retained(topic) => self.keep(&topic),
                Output::Said(said) => self.log(&said),
            }
        }
        self.trims_at_ms.get_or_insert(now_ms + BROKER_TRIM_MS);
        let next = self.next_deadline_ms();
        if next < self.wakes_at_ms.or(Some(u64::MAX)) && next.is_some() {
            self.timer.notify_one();
        }
    }

    fn next_deadline_ms(&self) -> Option<u64> {
        let again = (!self.again.is_empty()).then_some(0);
        crate::time::earliest([again, self.state.next_deadline_ms(), self.trims_at_ms])
    }

    /// What is retained, with when it ends by the clock on the wall.
    fn stored(&self, kept: &super::retained::Kept) -> Stored {
        let now = self.clock.now();
        let ends_at_ms = kept.expires_at_ms;
        let wall_ms = |at_ms: u64| now.wall_ms + at_ms.saturating_sub(now.mono_ms);
        ((*kept.message).clone(), ends_at_ms.map(wall_ms))
    }

    fn keep(&mut self, topic: &Arc<str>) {
        let stored = self
            .state
            .retained()
            .get(topic)
            .map(|kept| self.stored(kept));
        if let Some(store) = &mut self.store {
            store.put(topic, stored.as_ref());
        }
    }

    fn rewrite_if_due(&mut self) {
        let bytes = self.state.retained().bytes();
        if self.store.as_ref().is_some_and(|store| store.is_due(bytes)) {
            self.rewrite();
        }
    }

    fn rewrite(&mut self) {
        let Some(mut store) = self.store.take() else {
            return;
        };
        let all = self.state.retained().iter().map(|kept| self.stored(kept));
        if let Err(error) = store.rewrite(all) {
            tracing::error!(%error, "retained messages cannot be kept; it is tried again");
        }
        self.store = Some(store);
    }

    /// Does what is due. Returns when it wants to be called again.
    fn tick(&mut self) -> Option<u64> {
        let again = std::mem::take(&mut self.again);
        self.wakes_at_ms = Some(0);
        self.step(|state, now_ms| {
            state.tick(now_ms);
            for connection in again {
                state.again(connection, now_ms);
            }
        });
        if self.trims_at_ms.is_some_and(|at_ms| at_ms <= self.now_ms()) {
            self.rewrite_if_due();
            give_memory_back();
            self.trims_at_ms = None;
        }
        self.wakes_at_ms = self.next_deadline_ms();
        self.wakes_at_ms
    }

    /// Tells a log who comes and goes. Texts of clients are escaped: they may hold anything.
    fn log(&self, said: &Said) {
        let address = |connection| {
            let link = self.links.get(connection);
            link.map_or_else(String::new, |link| link.address.to_string())
        };
        match said {
            Said::Connected {
                connection,
                id,
                user,
                version,
            } => {
                let (user, address) = (user.as_deref().unwrap_or_default(), address(connection));
                tracing::info!(
                    connection,
                    address,
                    ?id,
                    ?user,
                    ?version,
                    "a client has connected"
                );
            }
            Said::Refused {
                connection,
                id,
                user,
                reason,
            } => {
                let (user, address) = (user.as_deref().unwrap_or_default(), address(connection));
                let reason = reason.text();
                tracing::warn!(
                    connection,
                    address,
                    ?id,
                    ?user,
                    reason,
                    "a client is refused"
                );
            }
            Said::Left {
                connection,
                id,
                reason,
            } => {
                let reason = reason.map_or("its connection broke", Reason::text);
                tracing::info!(connection, ?id, reason, "a client has left");
            }
            Said::NotAllowed { id, topic, reason } => {
                let reason = reason.text();
                tracing::warn!(?id, ?topic, reason, "a client is refused a topic");
            }
            Said::Drops { id } => {
                tracing::warn!(
                    ?id,
                    "messages for a client are dropped: it does not take them"
                );
            }
        }
    }

    /// Takes in a connection under a number of its own.
    fn connect(&mut self, address: SocketAddr) -> (u64, Rc<Link>) {
        let number = self.next_connection;
        self.next_connection += 1;
        let link = Rc::new(Link::new(address));
        self.links.insert(number, link.clone());
        (number, link)
    }

    /// A connection's task has ended.
    pub fn disconnect(&mut self, number: u64) {
        self.links.remove(&number);
        if self.links.len() * 4 < self.links.capacity() {
            self.links.shrink_to_fit();
        }
        self.step(|state, now_ms| state.closed(number, now_ms));
    }
}

/// Gives what is free back to the system: the allocator would keep it for later.
fn give_memory_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it has no preconditions.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Serves until it is stopped, or something panics.
pub(super) async fn serve(
    shared: Shared,
    listeners: Vec<TcpListener>,
    mut stop: watch::Receiver<bool>,
    connections_max: usize,
) -> Result<()> {
    let shared = Rc::new(RefCell::new(shared));
    let mut tasks = JoinSet::new();
    tasks.spawn_local(run_timer(shared.clone()));
    let mut retry = None;
    loop {
        tokio::select! {
            accepted = accept(&listeners), if retry.is_none() => match accepted {
                Ok((stream, address)) => {
                    // Those that have not said who they are have some room beside the clients.
                    if tasks.len() <= connections_max + BROKER_DESCRIPTORS_SPARED / 2 {
                        let (number, link) = shared.borrow_mut().connect(address);
                        tasks.spawn_local(serve_connection(shared.clone(), link, number, stream));
                    } else {
                        tracing::warn!(%address, "there are as many connections as the broker takes");
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    retry = Some(Instant::now() + Duration::from_millis(ACCEPT_RETRY_MS));
                }
            },
            () = sleep_until(retry.unwrap_or_else(Instant::now)), if retry.is_some() => retry = None,
            Some(ended) = tasks.join_next() => whole(ended)?,
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    drop(listeners);
    shared.borrow_mut().step(State::shut_down);
    let deadline = Instant::now() + Duration::from_millis(BROKER_FLUSH_MS);
    while tasks.len() > 1 {
        tokio::select! {
            Some(ended) = tasks.join_next() => whole(ended)?,
            () = sleep_until(deadline) => break,
        }
    }
    shared.borrow_mut().rewrite();
    Ok(())
}

/// A task that has panicked ends the broker: the state that it shares with the others may be wrong.
fn whole(ended: std::result::Result<(), tokio::task::JoinError>) -> Result<()> {
    let Err(error) = ended else {
        return Ok(());
    };
    let Ok(panic) = error.try_into_panic() else {
        return Ok(());
    };
    Err(panicked(panic.as_ref()))
}

/// The error for a panic.
pub(super) fn panicked(panic: &(dyn std::any::Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("no text");
    Error::new(
        ErrorKind::Panic,
        format!("the broker has failed, please report it: {text}"),
    )
}

async fn accept(listeners: &[TcpListener]) -> std::io::Result<(TcpStream, SocketAddr)> {
    std::future::poll_fn(|context| {
        for listener in listeners {
            if let std::task::Poll::Ready(accepted) = listener.poll_accept(context) {
                return std::task::Poll::Ready(accepted);
            }
        }
        std::task::Poll::Pending
    })
    .await
}

async fn run_timer(shared: Rc<RefCell<Shared>>) {
    let timer = shared.borrow().timer.clone();
    loop {
        let at_ms = shared.borrow_mut().tick();
        let left = at_ms.map(|at_ms| at_ms.saturating_sub(shared.borrow().now_ms()));
        match left {
            Some(0) => tokio::task::yield_now().await,
            Some(left_ms) => tokio::select! {
                () = sleep(Duration::from_millis(left_ms)) => {}
                () = timer.notified() => {}
            },
            None => timer.notified().await,
        }
    }
}
