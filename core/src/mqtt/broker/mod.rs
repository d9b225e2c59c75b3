//! A broker in the box: rumqttd, for games on a LAN, demos and tests.

mod relay;
mod topics;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};

use crate::error::{Error, ErrorKind, Result};
use crate::ids::random_u64;

/// The largest payload of a message.
const PAYLOAD_BYTES_MAX: usize = 1 << 20;

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
    let (listener, address) = bind(listen)?;
    let v5 = listen_v5.map(bind).transpose()?;
    let inside = inside()?;
    let inside_v5 = v5.as_ref().map(|_| self::inside()).transpose()?;
    let server = |name: &str, listen: SocketAddr| {
        let settings = ServerSettings {
            name: name.to_owned(),
            listen,
            tls: None,
            next_connection_delay_ms: 1,
            connections: ConnectionSettings {
                connection_timeout_ms: 10_000,
                max_payload_size: PAYLOAD_BYTES_MAX,
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
        v4: Some(server("v4", inside)),
        v5: inside_v5.map(|inside| server("v5", inside)),
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
    for inside in [Some(inside), inside_v5].into_iter().flatten() {
        wait_for(inside)?;
    }
    let address_v5 = v5.as_ref().map(|(_, address)| *address);
    relay_on(listener, inside)?;
    if let (Some((listener, _)), Some(inside)) = (v5, inside_v5) {
        relay_on(listener, inside)?;
    }
    Ok((address, address_v5))
}

/// Takes clients in on a thread of its own.
fn relay_on(listener: TcpListener, inside: SocketAddr) -> Result<()> {
    let failed = |error: std::io::Error| Error::io("cannot start the broker's thread", &error);
    listener.set_nonblocking(true).map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    std::thread::Builder::new()
        .name("distflow-relay".into())
        .spawn(move || {
            runtime.block_on(async {
                match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => relay::serve(listener, inside).await,
                    Err(error) => tracing::error!(%error, "the broker cannot listen"),
                }
            });
        })
        .map(drop)
        .map_err(failed)
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
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// A free address for the library, which binds it itself: where loopback addresses abound, one that
/// nobody else takes meanwhile.
fn inside() -> Result<SocketAddr> {
    let [a, b, c, ..] = random_u64().to_ne_bytes();
    let own = Ipv4Addr::new(127, a, b, c.clamp(1, 254));
    let found = bind((own, 0).into()).or_else(|_| bind((Ipv4Addr::LOCALHOST, 0).into()));
    Ok(found?.1)
}

fn wait_for(inside: SocketAddr) -> Result<()> {
    for _ in 0..200 {
        if TcpStream::connect(inside).is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    let text = format!("the broker does not answer on {inside}");
    Err(Error::new(ErrorKind::Timeout, text))
}
