//! The TCP connection under one to a broker.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;

/// What an address has before the next one is tried beside it (RFC 8305).
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// Connects to a host by whichever of its addresses answers first.
pub(super) async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut addresses = lookup_host((host, port)).await?;
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
                return Ok(stream);
            }
            Some(Ok(Err(error))) => failure = Some(error),
            Some(Err(_)) | None => {}
        }
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
        // On most systems `localhost` has one of version 6 as well, on which nobody listens here.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(connect("localhost", port).await.is_ok());
        drop(listener);
        assert!(connect("localhost", port).await.is_err());
    }
}
