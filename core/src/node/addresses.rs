//! Where a node listens, and what its peers dial.

use crate::error::{Error, ErrorKind, Result};
use crate::net;
use crate::node::options::NodeOptions;
use crate::runtime;

/// Binds the listeners and finds out what peers are told to dial.
pub(super) async fn addresses(
    runtime: &runtime::Handle,
    options: &NodeOptions,
) -> Result<(Vec<std::net::TcpListener>, String)> {
    let find = |options: &NodeOptions| {
        let listeners = net::listen(&options.listen_host, options.listen_port, options.insecure)?;
        Ok((listeners, advertised_host(options)?))
    };
    if net::is_loopback(&options.listen_host) && net::is_loopback(&options.pmd_host) {
        return find(options);
    }
    // Host names may need the resolver, which must not block the caller's event loop.
    let options = options.clone();
    let found = runtime.spawn_blocking(move || find(&options)).await;
    found.unwrap_or_else(|error| {
        let text = format!("looking up the hosts failed: {error}");
        Err(Error::new(ErrorKind::Internal, text))
    })
}

/// What peers are told to dial.
fn advertised_host(options: &NodeOptions) -> Result<String> {
    if let Some(host) = &options.advertised_host {
        return Ok(host.clone());
    }
    if net::is_loopback(&options.pmd_host) {
        return Ok("localhost".into());
    }
    // Connecting a datagram socket sends nothing; it shows which address leads there.
    let towards = |address: std::net::SocketAddr| {
        let any = if address.is_ipv6() {
            "[::]:0"
        } else {
            "0.0.0.0:0"
        };
        let socket = std::net::UdpSocket::bind(any)?;
        socket.connect(address)?;
        socket.local_addr()
    };
    net::resolve(&options.pmd_host, options.pmd_port)?
        .into_iter()
        .find_map(|address| towards(address).ok())
        .map(|address| address.ip().to_string())
        .ok_or_else(|| {
            Error::new(
                ErrorKind::ConnectionFailed,
                format!(
                    "no route to the PMD's host '{}'; set advertised_host",
                    options.pmd_host
                ),
            )
        })
}
