//! The TCP connection under one to a broker.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;

use crate::canary::{Canary, Owned};
use crate::loopback;

/// What an address has before the next one is tried beside it (RFC 8305).
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// Connects to a host by whichever of its addresses answers first.
pub(super) async fn connect(host: &str, port: u16) -> io::Result<Socket> {
    let canary = Canary::current()?;
    let mut addresses = if loopback::is_localhost(host) {
        loopback::addresses(port)
    } else {
        lookup_host((host, port)).await?.collect()
    }
    .into_iter();
    let mut tries = JoinSet::new();
    let mut failure = None;
    loop {
        let next: Option<SocketAddr> = addresses.next();
        if let Some(address) = next {
            tries.spawn(TcpStream::connect(address));
        } else if tries.is_empty() {
            let none = || io::Error::new(io::ErrorKind::NotFound, "the host has no address");
            return Err(failure.unwrap_or_else(none));
        }
        let first = match next {
            Some(_) => match tokio::time::timeout(NEXT_ADDRESS, tries.join_next()).await {
                Ok(first) => first,
                Err(_) => continue,
            },
            None => tries.join_next().await,
        };
        match first {
            Some(Ok(Ok(stream))) => {
                // What is said shortly after something else is not to wait for its acknowledgement.
                stream.set_nodelay(true)?;
                return Ok(Socket(Owned::new(stream, &canary)));
            }
            Some(Ok(Err(error))) => failure = Some(error),
            Some(Err(_)) | None => {}
        }
    }
}

/// A connection that is left alone once the host has closed the library's descriptors: what would be
/// written then, or closed, would be a file of the host's. Nothing happens on it any more.
#[derive(Debug)]
pub(super) struct Socket(Owned<TcpStream>);

impl Socket {
    /// The stream, as long as it is the library's.
    fn open(self: Pin<&mut Self>) -> Option<Pin<&mut TcpStream>> {
        let this = self.get_mut();
        (!this.0.is_gone()).then(|| Pin::new(&mut *this.0))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.open()
            .map_or(Poll::Pending, |stream| stream.poll_read(cx, into))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.open()
            .map_or(Poll::Pending, |stream| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.open().map_or(Poll::Pending, |stream| {
            stream.poll_write_vectored(cx, parts)
        })
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open()
            .map_or(Poll::Pending, |stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open()
            .map_or(Poll::Pending, |stream| stream.poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    #[tokio::test]
    async fn an_address_of_version_6_is_reached() {
        let Ok(listener) = std::net::TcpListener::bind("[::1]:0") else {
            return;
        };
        let port = listener.local_addr().unwrap().port();
        assert!(connect("::1", port).await.is_ok());
    }

    #[tokio::test]
    async fn a_host_is_reached_by_the_address_that_answers() {
        // On most machines it has one of version 6 as well, on which nobody listens here.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(connect("localhost", port).await.is_ok());
        drop(listener);
        assert!(connect("localhost", port).await.is_err());
    }
}
