//! A broker in the box: rumqttd, for games on a LAN, demos and tests.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::net::TcpListener;

use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};

use crate::error::{Error, ErrorKind, Result};

/// Starts a broker for MQTT 3.1.1 on an address, and for MQTT 5 on another if one is given. Port 0
/// takes a free one. It runs on threads of its own until the process ends; the library behind it
/// can't be stopped. Retained messages are kept in memory.
///
/// Whoever can reach the address can read and write everything.
///
/// Errors: `address_in_use`, `io`.
pub fn start(
    listen: SocketAddr,
    listen_v5: Option<SocketAddr>,
) -> Result<(SocketAddr, Option<SocketAddr>)> {
    let listen = free(listen)?;
    let listen_v5 = listen_v5.map(free).transpose()?;
    let server = |name: &str, listen: SocketAddr| {
        let settings = ServerSettings {
            name: name.to_owned(),
            listen,
            tls: None,
            next_connection_delay_ms: 1,
            connections: ConnectionSettings {
                connection_timeout_ms: 10_000,
                max_payload_size: 1 << 20,
                max_inflight_count: 1_000,
                auth: None,
                external_auth: None,
                dynamic_filters: true,
            },
        };
        HashMap::from([(name.to_owned(), settings)])
    };
    let config = Config {
        router: RouterConfig {
            max_connections: 10_000,
            max_outgoing_packet_count: 1_000,
            max_segment_size: 10 << 20,
            max_segment_count: 10,
            ..RouterConfig::default()
        },
        v4: Some(server("v4", listen)),
        v5: listen_v5.map(|listen| server("v5", listen)),
        ..Config::default()
    };
    let mut broker = Broker::new(config);
    std::thread::Builder::new()
        .name("distflow-broker".into())
        .spawn(move || {
            if let Err(error) = broker.start() {
                tracing::error!(%error, "the broker has ended");
            }
        })
        .map_err(|error| Error::io("cannot start the broker's thread", &error))?;
    for listen in [Some(listen), listen_v5].into_iter().flatten() {
        wait_for(listen)?;
    }
    Ok((listen, listen_v5))
}

/// The address with a port that can be had.
fn free(listen: SocketAddr) -> Result<SocketAddr> {
    let failed = |error: std::io::Error| {
        let kind = match error.kind() {
            std::io::ErrorKind::AddrInUse => ErrorKind::AddressInUse,
            _ => ErrorKind::Io,
        };
        Error::new(kind, format!("cannot listen on {listen}: {error}"))
    };
    let listener = TcpListener::bind(listen).map_err(failed)?;
    listener.local_addr().map_err(failed)
}

fn wait_for(listen: SocketAddr) -> Result<()> {
    let mut reached = listen;
    if listen.ip().is_unspecified() {
        reached.set_ip(match listen {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    for _ in 0..200 {
        if std::net::TcpStream::connect(reached).is_ok() {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(25));
    }
    Err(Error::new(
        ErrorKind::Timeout,
        format!("the broker does not answer on {listen}"),
    ))
}
