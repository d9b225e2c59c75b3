//! The tasks that accept connections of peers, and the reading of messages.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};

use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::names::{Alias, NodeId};
use crate::net;
use crate::node::shared::Shared;
use crate::node_state::Verdict;
use crate::wire::frame::FrameReader;
use crate::wire::peer::{Payload, PeerFrame, PeerParser};

/// A message as the application gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The sender's node id, by its own claim: there is no authentication yet.
    pub from: NodeId,
    /// The sender's alias, also by its own claim; `None` when it has none. A sender that is an
    /// original package does not say it: then it is what the PMD knows.
    pub alias: Option<Alias>,
    /// What it says, as JSON text.
    pub payload: Payload,
    /// Unix milliseconds when it was sent, by the sender's clock.
    pub timestamp: u64,
}

/// What a waiting message costs beside its payload.
const MESSAGE_BYTES: usize = 64;

/// Accepts connections until the node ends.
pub(super) async fn accept(shared: Arc<Shared>, listener: TcpListener, open: Arc<AtomicUsize>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if open.load(Ordering::Relaxed) >= limits::INBOUND_MAX {
                    tracing::warn!(node = %shared.id, %peer, "connection refused: too many");
                    continue;
                }
                net::tune_link(&stream, &shared.options.detection);
                open.fetch_add(1, Ordering::Relaxed);
                let (shared_in, open) = (shared.clone(), open.clone());
                shared.spawn(async move {
                    let _count = Count(open);
                    #[cfg(unix)]
                    let _fork = super::registry::close_in_child(&stream);
                    let (mut stream, _write) = stream.into_split();
                    let end = serve(&shared_in, &mut stream).await;
                    shared_in.runtime.keep_sockets();
                    tracing::debug!(node = %shared_in.id, %peer, reason = %end, "connection ended");
                });
            }
            Err(error) => {
                // Out of file descriptors: the backlog waits, nothing spins.
                tracing::warn!(node = %shared.id, %error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(limits::ACCEPT_RETRY_MS)).await;
            }
        }
    }
}

struct Count(Arc<AtomicUsize>);

impl Drop for Count {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

static NEXT_INBOUND: AtomicU64 = AtomicU64::new(1);

/// Reads a connection until its end, and returns why it ended.
pub(super) async fn serve(shared: &Arc<Shared>, stream: &mut OwnedReadHalf) -> Error {
    let id = NEXT_INBOUND.fetch_add(1, Ordering::Relaxed);
    let mut connection = Connection {
        shared,
        id,
        reader: FrameReader::new(shared.options.frame_bytes_max),
        parser: PeerParser::new(),
        alias: None,
        batch: VecDeque::new(),
    };
    connection.read(stream).await
}

struct Connection<'a> {
    shared: &'a Arc<Shared>,
    id: u64,
    reader: FrameReader,
    parser: PeerParser,
    /// The alias of whom the connection's messages are from, once that is known.
    alias: Option<(NodeId, Option<Alias>)>,
    batch: VecDeque<(Message, usize)>,
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        self.shared.inbound.lock().closed(self.id);
    }
}

impl Connection<'_> {
    async fn read(&mut self, stream: &mut OwnedReadHalf) -> Error {
        let deadline = Duration::from_millis(self.shared.options.frame_deadline_ms);
        loop {
            let ready = if self.reader.has_partial() {
                // A frame that has begun has a deadline; between frames a peer may idle.
                match tokio::time::timeout(deadline, self.read_frame(stream)).await {
                    Ok(result) => result,
                    Err(_) => Err(Error::new(
                        ErrorKind::Timeout,
                        format!("frame not completed within {} ms", deadline.as_millis()),
                    )),
                }
            } else {
                self.reader.release();
                self.read_some(stream).await
            };
            let frames = match ready {
                Ok(()) => self.frames().await,
                Err(error) => Err(error),
            };
            if let Err(error) = frames {
                if matches!(
                    error.kind(),
                    ErrorKind::TooLarge | ErrorKind::InvalidJson | ErrorKind::InvalidMessage
                ) {
                    self.shared.bad_frames.fetch_add(1, Ordering::Relaxed);
                    refuse(stream.as_ref(), &error);
                }
                return error;
            }
        }
    }

    /// Reads until the frame that has begun is complete.
    async fn read_frame(&mut self, stream: &mut OwnedReadHalf) -> Result<()> {
        loop {
            self.read_some(stream).await?;
            if self.reader.has_frame()? {
                return Ok(());
            }
        }
    }

    async fn read_some(&mut self, stream: &mut OwnedReadHalf) -> Result<()> {
        // Not `readable` and `try_read`: this way a read that did not fill the buffer is known to
        // have emptied the socket, and no second one finds that out.
        match stream.read_buf(self.reader.buf()).await {
            Ok(0) => Err(Error::new(
                ErrorKind::ConnectionFailed,
                "the peer closed the connection",
            )),
            Ok(read) => {
                self.reader.note_read(read);
                Ok(())
            }
            Err(error) => Err(Error::io("read from the peer", &error)),
        }
    }

    /// Takes every complete frame, then delivers the messages among them.
    async fn frames(&mut self) -> Result<()> {
        loop {
            let mut end = Ok(());
            let mut opening = None;
            // Messages of one sender in a row need one verdict.
            let mut run: Option<(NodeId, NodeId)> = None;
            loop {
                let frame = match self.reader.next_frame() {
                    Ok(Some(body)) => self.parser.parse(&body),
                    Ok(None) => break,
                    Err(error) => Err(error),
                };
                match frame {
                    Ok(PeerFrame::Message {
                        from,
                        to,
                        payload,
                        timestamp,
                    }) => {
                        let goes_on = run
                            .as_ref()
                            .is_some_and(|(run_from, run_to)| run_from.is(&from) && run_to.is(&to));
                        if !goes_on {
                            self.deliver(run.take()).await?;
                            self.introduce(&from).await;
                            run = Some((from.clone(), to));
                        }
                        let weight = payload.len() + MESSAGE_BYTES;
                        let message = Message {
                            from,
                            alias: self.alias.as_ref().and_then(|(_, alias)| alias.clone()),
                            payload,
                            timestamp,
                        };
                        self.batch.push_back((message, weight));
                    }
                    Ok(open @ PeerFrame::Open { .. }) => {
                        opening = Some(open);
                        break;
                    }
                    Err(error) => {
                        end = Err(error);
                        break;
                    }
                }
            }
            self.deliver(run).await?;
            match opening {
                Some(open) => self.open(&open)?,
                None => return end,
            }
        }
    }

    fn open(&mut self, open: &PeerFrame) -> Result<()> {
        let PeerFrame::Open {
            from,
            to,
            incarnation,
            connection,
            next,
            alias,
        } = open
        else {
            return Ok(());
        };
        let stream = (*incarnation, *connection, *next);
        let verdict = self.shared.inbound.lock().open(self.id, from, to, stream);
        match verdict {
            Verdict::Accept => {
                self.alias = Some((from.clone(), alias.clone()));
                Ok(())
            }
            Verdict::Close => Err(not_ours()),
        }
    }

    /// Learns the alias of a sender that did not say it. A node whose join is still on its way is
    /// asked for, so that who gets its first message knows whom it is from.
    async fn introduce(&mut self, from: &NodeId) {
        if self.alias.as_ref().is_some_and(|(known, _)| known.is(from)) {
            return;
        }
        let alias = |shared: &Shared| {
            shared.read(|state| {
                let peer = state.peer(from.as_str())?;
                peer.alias
                    .as_deref()
                    .and_then(|alias| Alias::new(alias).ok())
            })
        };
        let asked = self.shared.step(|locked, now| {
            let call = locked.state.introduce(now, from.as_str())?;
            Some(Shared::expect(locked, call))
        });
        if let Some(asked) = asked {
            // Without an answer, the message comes without a name.
            let _ = asked.await;
        }
        self.alias = Some((from.clone(), alias(self.shared)));
    }

    /// Puts the batch of one sender into the mailbox; waits for room if the policy says so.
    async fn deliver(&mut self, names: Option<(NodeId, NodeId)>) -> Result<()> {
        let Some((from, to)) = names else {
            return Ok(());
        };
        let mut first = true;
        while !self.batch.is_empty() {
            let count = self.batch.len() as u64;
            let (verdict, dropped, wakeups) = {
                // Held across the push: what a newer connection delivers comes after this.
                let mut inbound = self.shared.inbound.lock();
                let verdict = if first {
                    inbound.messages(self.id, &from, &to, count)
                } else {
                    inbound.still(self.id, &from)
                };
                match verdict {
                    Verdict::Accept => {
                        let (dropped, wakeups) = self.shared.inbox.push_all(&mut self.batch);
                        (verdict, dropped, Some(wakeups))
                    }
                    Verdict::Close => (verdict, 0, None),
                }
            };
            drop(wakeups);
            if verdict == Verdict::Close {
                let lost = if first { 0 } else { self.batch.len() as u64 };
                self.batch.clear();
                self.shared.inbound.lock().give_up(lost);
                return Err(not_ours());
            }
            first = false;
            if dropped > 0 {
                self.shared
                    .step(|locked, now| locked.state.mailbox_dropped(now, dropped));
            }
            if let Some((_, weight)) = self.batch.front() {
                // Not reading any further is what the sender feels.
                self.shared.inbox.room(*weight).await;
            }
        }
        Ok(())
    }
}

fn not_ours() -> Error {
    Error::new(
        ErrorKind::ConnectionFailed,
        "the frame is for another node, or a newer connection of its sender exists",
    )
}

/// Says what was wrong before closing. Originals ignore it; it is for who debugs a peer.
fn refuse(stream: &TcpStream, error: &Error) {
    let mut bytes = Vec::new();
    let _ = crate::wire::frame::append(&mut bytes, limits::PMD_FRAME_BYTES_MAX, |out| {
        crate::wire::pmd::append_error(out, error.message());
    });
    // One attempt: a peer that does not read it loses nothing.
    let _ = stream.try_write(&bytes);
}
