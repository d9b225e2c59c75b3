//! The tasks of a link to a peer: one that connects and reads, one that writes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;

use crate::error::{Error, ErrorKind};
use crate::net;
use crate::node::inbound;
use crate::node::registry::dial;
use crate::node::shared::Shared;
use crate::node_state::LinkId;

/// A message that comes sooner than this after the last one was written makes a burst: it waits for
/// the writer task, which takes all that comes meanwhile in one write. No answer arrives and is
/// answered that soon, so request and answer never look like a burst.
const BURST: Duration = Duration::from_micros(8);

/// A connected link's socket.
pub(super) struct Sink {
    pub connection: u64,
    stream: OwnedWriteHalf,
    /// Woken when bytes wait to be written.
    pub flush: Notify,
    closed: Notify,
    /// When a caller's thread last ended a write or left one to the writer task, in microseconds of
    /// the node's clock.
    sent_at_us: AtomicU64,
    // Protects a chunk that the socket did not take completely; held to put or take it.
    rest: Mutex<Rest>,
}

/// What a caller's thread leaves to the writer task.
enum Rest {
    Nothing,
    Chunk(Vec<u8>, usize),
    /// The writer task has ended and takes nothing any more.
    Ended,
}

impl Sink {
    /// Ends the connection; its tasks notice.
    pub fn close(&self) {
        self.closed.notify_one();
        // What was written is still delivered; nothing more is.
        let _ = socket2::SockRef::from(self.stream.as_ref()).shutdown(std::net::Shutdown::Write);
    }
}

/// Connects a link and serves it until its end.
pub(super) async fn connect(
    shared: Arc<Shared>,
    id: LinkId,
    connection: u64,
    host: String,
    port: u16,
) {
    let stream = match dial(&host, port).await {
        Ok(stream) => stream,
        Err(error) => {
            let error = Error::io(&format!("cannot connect to {host}:{port}"), &error);
            shared.step(|locked, now| {
                locked.state.peer_connect_failed(now, id, connection, error);
            });
            return;
        }
    };
    net::tune_link(&stream, &shared.options.detection);
    #[cfg(unix)]
    let _fork = super::registry::close_in_child(&stream);
    let (mut read_half, write_half) = stream.into_split();
    let sink = Arc::new(Sink {
        connection,
        stream: write_half,
        flush: Notify::new(),
        closed: Notify::new(),
        sent_at_us: AtomicU64::new(0),
        rest: Mutex::new(Rest::Nothing),
    });
    let rest = GiveBack {
        shared: &shared,
        id,
        sink: &sink,
    };
    shared.add_sink(id, sink.clone());
    let end = tokio::select! {
        // A peer may write back on this connection; that is read like any other.
        end = inbound::serve(&shared, &mut read_half) => Some(end),
        () = write(&shared, id, &sink) => None,
        () = sink.closed.notified() => None,
    };
    shared.runtime.keep_sockets();
    drop(rest);
    if let Some(error) = end {
        shared.step(|locked, now| {
            locked.state.peer_disconnected(now, id, connection, error);
        });
    }
}

/// Gives back what a caller's thread left to the writer task, however the connection ends:
/// without it the link could never have another chunk, and the messages would go uncounted.
struct GiveBack<'a> {
    shared: &'a Arc<Shared>,
    id: LinkId,
    sink: &'a Sink,
}

impl Drop for GiveBack<'_> {
    fn drop(&mut self) {
        let rest = std::mem::replace(&mut *self.sink.rest.lock(), Rest::Ended);
        if let Rest::Chunk(bytes, written) = rest {
            done(self.shared, self.id, bytes, written, None);
        }
    }
}

/// Writes a link's chunks until the link is gone.
async fn write(shared: &Arc<Shared>, id: LinkId, sink: &Sink) {
    loop {
        let rest = std::mem::replace(&mut *sink.rest.lock(), Rest::Nothing);
        let chunk = match rest {
            Rest::Chunk(bytes, written) => Some((bytes, written)),
            Rest::Nothing | Rest::Ended => shared
                .step(|locked, now| locked.state.take_chunk(now, id))
                .map(|(_, bytes)| (bytes, 0)),
        };
        let Some((bytes, written)) = chunk else {
            sink.flush.notified().await;
            // A burst goes on: whoever sends gets the time to queue more, and one write takes it
            // all. Without this, each wake-up found a few messages only.
            std::thread::yield_now();
            continue;
        };
        let mut guard = ChunkGuard {
            shared,
            id,
            bytes,
            written,
            error: None,
        };
        let result = write_all(&sink.stream, &guard.bytes, &mut guard.written).await;
        guard.error = result.err();
        let failed = guard.error.is_some();
        drop(guard);
        if failed {
            // The state machine has closed the connection.
            std::future::pending::<()>().await;
        }
    }
}

/// Reports a chunk, also when the task that writes it is dropped in the middle.
struct ChunkGuard<'a> {
    shared: &'a Arc<Shared>,
    id: LinkId,
    bytes: Vec<u8>,
    written: usize,
    error: Option<io::Error>,
}

impl Drop for ChunkGuard<'_> {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        done(self.shared, self.id, bytes, self.written, self.error.take());
    }
}

fn done(
    shared: &Arc<Shared>,
    id: LinkId,
    bytes: Vec<u8>,
    written: usize,
    error: Option<io::Error>,
) {
    let error = if written == bytes.len() {
        None
    } else {
        Some(match error {
            Some(error) => Error::io("write to the peer", &error),
            None => Error::new(ErrorKind::ConnectionFailed, "the connection was closed"),
        })
    };
    shared.step(|locked, now| locked.state.chunk_done(now, id, bytes, written, error));
}

async fn write_all(stream: &OwnedWriteHalf, bytes: &[u8], written: &mut usize) -> io::Result<()> {
    while *written < bytes.len() {
        match stream.try_write(&bytes[*written..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => *written += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes what a link has waiting from the caller's thread: no hand-over for a single message.
/// Within a burst the writer task does it.
pub(super) fn write_unless_burst(shared: &Arc<Shared>, id: LinkId, sink: &Sink) {
    let now_us = shared.clock.now_us();
    let last_us = sink.sent_at_us.load(Ordering::Relaxed);
    if now_us.saturating_sub(last_us) < BURST.as_micros() as u64 {
        sink.flush.notify_one();
        shared.runtime.attend();
        sink.sent_at_us.store(now_us, Ordering::Relaxed);
    } else {
        write_now(shared, id, sink);
        // Without the time of the write itself: a caller that does little else sends bursts.
        sink.sent_at_us
            .store(shared.clock.now_us(), Ordering::Relaxed);
    }
}

/// Writes what a link has waiting from the caller's thread. When the socket is full, the writer
/// task takes over.
pub(super) fn write_now(shared: &Arc<Shared>, id: LinkId, sink: &Sink) {
    let Some((_, bytes)) = shared.step(|locked, now| locked.state.take_chunk(now, id)) else {
        return;
    };
    let mut written = 0;
    while written < bytes.len() {
        match sink.stream.try_write(&bytes[written..]) {
            Ok(0) => break,
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() != io::ErrorKind::WouldBlock && shared.runtime.look() => {
                // The host has closed the socket. What was left is told by the state machine.
                done(shared, id, bytes, written, Some(error));
                return;
            }
            // Would block, or is broken: the writer task waits, or finds out.
            Err(_) => break,
        }
    }
    if written == bytes.len() {
        done(shared, id, bytes, written, None);
    } else {
        let mut rest = sink.rest.lock();
        if let Rest::Ended = *rest {
            drop(rest);
            done(shared, id, bytes, written, None);
        } else {
            *rest = Rest::Chunk(bytes, written);
            drop(rest);
            sink.flush.notify_one();
            shared.runtime.attend();
        }
    }
}
