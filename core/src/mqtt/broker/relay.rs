//! Between the clients and the library behind the broker: see [`super::topics`].

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use super::PAYLOAD_BYTES_MAX;
use super::topics::{Inbound, append_outbound, packet_lengths};
use crate::error::{Error, ErrorKind, Result};

/// The largest packet: a payload, its topic, and what comes with them.
const PACKET_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + (128 << 10);
/// How long the other side may take to close after this one has.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// Takes clients in, until the process ends.
pub(super) async fn serve(listener: TcpListener, broker: SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => drop(tokio::spawn(relay(client, broker))),
            // Out of descriptors, mostly: those who are there go on.
            Err(error) => {
                tracing::warn!(%error, "the broker cannot accept a connection");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

async fn relay(client: TcpStream, broker: SocketAddr) {
    let broker = match TcpStream::connect(broker).await {
        Ok(broker) => broker,
        Err(error) => {
            tracing::error!(%error, "the broker is not there any more");
            return;
        }
    };
    // Packets are written whole: to wait for more would only delay them.
    let _ = (client.set_nodelay(true), broker.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_broker, to_broker) = broker.into_split();
    let mut inbound = Inbound::default();
    let inward = pump(from_client, to_broker, move |packet, header, out| {
        inbound.append(packet, header, out)
    });
    let outward = pump(from_broker, to_client, append_outbound);
    let (mut inward, mut outward) = (std::pin::pin!(inward), std::pin::pin!(outward));
    // What one has said last is to reach the other: a good-bye, so that no will is done.
    tokio::select! {
        () = &mut inward => drop(tokio::time::timeout(CLOSE_WITHIN, outward).await),
        () = &mut outward => drop(tokio::time::timeout(CLOSE_WITHIN, inward).await),
    }
}

/// Hands packets on until no more come, and closes that direction then. When nobody takes them any
/// more, they are read nevertheless: a connection that is closed with something unread is reset, and
/// loses what is under way on it.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut change: impl FnMut(&[u8], usize, &mut Vec<u8>) -> Result<()>,
) {
    let (mut bytes, mut out) = (Vec::new(), Vec::new());
    let mut is_taken = true;
    while matches!(from.read_buf(&mut bytes).await, Ok(length) if length > 0) {
        out.clear();
        if let Err(error) = whole_packets(&mut bytes, &mut out, &mut change) {
            tracing::debug!(%error, "a connection to the broker is closed");
            break;
        }
        if is_taken && !out.is_empty() {
            is_taken = to.write_all(&out).await.is_ok();
        }
    }
    let _ = to.shutdown().await;
}

/// Moves what is there of whole packets.
fn whole_packets(
    bytes: &mut Vec<u8>,
    out: &mut Vec<u8>,
    change: &mut impl FnMut(&[u8], usize, &mut Vec<u8>) -> Result<()>,
) -> Result<()> {
    let mut at = 0;
    while let Some((header, length)) = packet_lengths(&bytes[at..])? {
        if length > PACKET_BYTES_MAX {
            let text = format!("a packet of {length} bytes, at most {PACKET_BYTES_MAX} are taken");
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
        let Some(packet) = bytes.get(at..at + length) else {
            break;
        };
        change(packet, header, out)?;
        at += length;
    }
    bytes.drain(..at);
    Ok(())
}
