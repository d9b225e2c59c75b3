//! One connection of the broker: bytes in, packets to the machine; packets from the machine, bytes out.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::packet::{FromClient, Reason, ToClient, Version};
use super::server::Shared;
use super::{frame, v4, v5};
use crate::limits::{
    BROKER_BUFFERS_BYTES_MAX, BROKER_CONNECT_MS_MAX, BROKER_FLUSH_MS, BROKER_READ_BYTES,
};

/// What the machine has for a connection.
#[derive(Debug)]
pub(super) struct Link {
    /// Where the client is.
    pub address: SocketAddr,
    packets: RefCell<VecDeque<ToClient>>,
    closes: Cell<Option<Reason>>,
    wake: Notify,
}

impl Link {
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            packets: RefCell::new(VecDeque::new()),
            closes: Cell::new(None),
            wake: Notify::new(),
        }
    }

    pub fn send(&self, packets: Vec<ToClient>) {
        self.packets.borrow_mut().extend(packets);
        self.wake.notify_one();
    }

    pub fn close(&self, reason: Reason) {
        if self.closes.get().is_none() {
            self.closes.set(Some(reason));
        }
        self.wake.notify_one();
    }

    fn pop(&self) -> Option<ToClient> {
        let mut packets = self.packets.borrow_mut();
        let packet = packets.pop_front();
        if packet.is_none() && packets.capacity() > 16 {
            *packets = VecDeque::new();
        }
        packet
    }
}

/// The connection is gone, or has nothing to hear any more.
struct Gone;

struct Connection {
    shared: Rc<RefCell<Shared>>,
    link: Rc<Link>,
    number: u64,
    stream: TcpStream,
    version: Option<Version>,
    is_known: bool,
    /// The beginning of a packet.
    inbound: BytesMut,
    /// What the socket has not taken.
    outbound: BytesMut,
    buffered: usize,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // What has failed may be wrong; to touch it could fail once more.
        if std::thread::panicking() {
            return;
        }
        if let Ok(mut shared) = self.shared.try_borrow_mut() {
            shared.buffered -= self.buffered;
            shared.disconnect(self.number);
        }
    }
}

/// Serves one connection until it ends.
pub(super) async fn serve(
    shared: Rc<RefCell<Shared>>,
    link: Rc<Link>,
    number: u64,
    stream: TcpStream,
) {
    // Packets are written whole: to wait for more would only delay them. A client that has announced no
    // sign of life is asked by the system.
    let _ = stream.set_nodelay(true);
    let _ = socket2::SockRef::from(&stream).set_keepalive(true);
    let mut connection = Connection {
        shared,
        link,
        number,
        stream,
        version: None,
        is_known: false,
        inbound: BytesMut::new(),
        outbound: BytesMut::new(),
        buffered: 0,
    };
    if connection.talk().await.is_ok() {
        connection.say_last().await;
    }
}

impl Connection {
    /// Reads and writes until the machine ends it (`Ok`), or it is gone.
    async fn talk(&mut self) -> Result<(), Gone> {
        let link = self.link.clone();
        let deadline = Instant::now() + Duration::from_millis(BROKER_CONNECT_MS_MAX);
        loop {
            self.write()?;
            if link.closes.get().is_some() {
                return Ok(());
            }
            let interest = if self.outbound.is_empty() {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            tokio::select! {
                ready = self.stream.ready(interest) => {
                    if ready.map_err(|_| Gone)?.is_readable() {
                        self.read()?;
                        // The others have their turn, and those who were told something can write.
                        tokio::task::yield_now().await;
                    }
                }
                () = link.wake.notified() => {}
                () = sleep_until(deadline), if !self.is_known => return Err(Gone),
            }
        }
    }

    /// Writes what is there, and waits until the other side has read it: a connection that is closed with
    /// something unread would lose it.
    async fn say_last(&mut self) {
        self.inbound = BytesMut::new();
        let deadline = Instant::now() + Duration::from_millis(2 * BROKER_FLUSH_MS);
        let _ = timeout_at(deadline, async {
            loop {
                self.write()?;
                if self.outbound.is_empty() {
                    break;
                }
                let ready = self.stream.ready(Interest::WRITABLE).await;
                ready.map_err(|_| Gone)?;
            }
            let socket = socket2::SockRef::from(&self.stream);
            socket
                .shutdown(std::net::Shutdown::Write)
                .map_err(|_| Gone)?;
            loop {
                self.stream.readable().await.map_err(|_| Gone)?;
                let mut shared = self.shared.borrow_mut();
                match self.stream.try_read(&mut shared.scratch) {
                    Ok(0) => return Err(Gone),
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => return Err::<(), Gone>(Gone),
                }
            }
        })
        .await;
    }

    /// Reads once, and hands on what is whole.
    fn read(&mut self) -> Result<(), Gone> {
        let shared = self.shared.clone();
        let mut shared = shared.borrow_mut();
        let length = match self.stream.try_read(&mut shared.scratch) {
            Ok(0) => return Err(Gone),
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(_) => return Err(Gone),
        };
        if self.inbound.is_empty() {
            // The usual case: what has come is whole, and is not copied.
            let scratch = std::mem::take(&mut shared.scratch);
            let taken = self.take(&mut shared, &scratch[..length]);
            self.inbound = BytesMut::from(&scratch[taken..length]);
            shared.scratch = scratch;
        } else {
            self.inbound.extend_from_slice(&shared.scratch[..length]);
            let mut inbound = std::mem::take(&mut self.inbound);
            let taken = self.take(&mut shared, &inbound);
            inbound.advance(taken);
            if !inbound.is_empty() {
                self.inbound = inbound;
            }
        }
        self.count(&mut shared);
        Ok(())
    }

    /// Hands whole packets to the machine. Returns the number of bytes that they took.
    fn take(&mut self, shared: &mut Shared, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while self.link.closes.get().is_none() {
            match frame::read(&bytes[taken..], self.version) {
                Ok(None) => return taken,
                Ok(Some((packet, length))) => {
                    taken += length;
                    self.hand(shared, packet);
                }
                Err((reason, version)) => {
                    self.version = self.version.or(version);
                    self.refuse(shared, reason);
                }
            }
        }
        bytes.len()
    }

    fn hand(&mut self, shared: &mut Shared, packet: FromClient) {
        let number = self.number;
        match packet {
            FromClient::Connect(connect) if !self.is_known => {
                self.version = Some(connect.version);
                self.is_known = true;
                shared.step(|state, now_ms| state.connect(number, *connect, now_ms));
            }
            packet => shared.step(|state, now_ms| state.packet(number, packet, now_ms)),
        }
    }

    /// Ends the connection for what it has sent.
    fn refuse(&self, shared: &mut Shared, reason: Reason) {
        let number = self.number;
        let why = reason.text();
        tracing::debug!(connection = number, why, "a connection is ended");
        if self.is_known {
            shared.step(|state, now_ms| state.end(number, reason, now_ms));
            return;
        }
        // Who speaks another version is told so, in the words of the oldest; who speaks something else
        // is told nothing.
        if self.version.is_some() || reason == Reason::Version {
            self.link.send(vec![ToClient::ConnAck {
                reason,
                has_session: false,
                given_id: None,
            }]);
        }
        self.link.close(reason);
    }

    /// Writes as much as the socket takes.
    fn write(&mut self) -> Result<(), Gone> {
        let shared = self.shared.clone();
        loop {
            while self.outbound.len() < BROKER_READ_BYTES
                && let Some(packet) = self.link.pop()
            {
                let written = match self.version {
                    Some(Version::V5) => v5::write(&packet, &mut self.outbound),
                    _ => v4::write(&packet, &mut self.outbound),
                };
                if written.is_err() {
                    tracing::error!(connection = self.number, "a packet cannot be written");
                    return Err(Gone);
                }
            }
            if self.outbound.is_empty() {
                self.outbound = BytesMut::new();
                self.count(&mut shared.borrow_mut());
                return Ok(());
            }
            match self.stream.try_write(&self.outbound) {
                Ok(length) => self.outbound.advance(length),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.count(&mut shared.borrow_mut());
                    return Ok(());
                }
                Err(_) => return Err(Gone),
            }
            if self.is_known && self.link.packets.borrow().is_empty() {
                // There is room: the machine may have more.
                let (number, unwritten) = (self.number, self.outbound.len());
                let mut shared = shared.borrow_mut();
                shared.step(|state, now_ms| state.unwritten(number, unwritten, now_ms));
            }
        }
    }

    /// Counts what this connection holds; when all together hold too much, the one that asks for more ends.
    fn count(&mut self, shared: &mut Shared) {
        let held = self.inbound.len() + self.outbound.len();
        shared.buffered = shared.buffered - self.buffered + held;
        let grows = held > self.buffered;
        self.buffered = held;
        if grows && shared.buffered > BROKER_BUFFERS_BYTES_MAX && self.link.closes.get().is_none() {
            self.refuse(shared, Reason::Quota);
        }
    }
}
