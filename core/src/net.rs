//! Sockets: addresses, options and listeners. Knows nothing of messages.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::loopback;

/// How a silent connection is found dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detection {
    /// First keep-alive probe after this much silence.
    pub keepalive_idle: Duration,
    /// Interval of keep-alive probes.
    pub keepalive_interval: Duration,
    /// Unanswered probes that make the connection dead.
    pub keepalive_probes: u32,
    /// Time unacknowledged data may wait, on connections of a PMD.
    pub user_timeout: Duration,
}

impl Detection {
    /// Checks what no type checks: systems count in seconds, and not in none.
    pub fn check(&self) -> Result<()> {
        let second = Duration::from_secs(1);
        if self.keepalive_idle < second || self.keepalive_interval < second {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "keepalive_idle and keepalive_interval must be at least 1 s",
            ));
        }
        if self.keepalive_probes == 0 {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "keepalive_probes must be at least 1",
            ));
        }
        Ok(())
    }
}

impl Default for Detection {
    fn default() -> Self {
        Self {
            keepalive_idle: Duration::from_secs(limits::KEEPALIVE_IDLE_S),
            keepalive_interval: Duration::from_secs(limits::KEEPALIVE_INTERVAL_S),
            keepalive_probes: limits::KEEPALIVE_PROBES,
            user_timeout: Duration::from_millis(limits::TCP_USER_TIMEOUT_MS),
        }
    }
}

/// Sets what every connection to or of a PMD gets: no Nagle delay, and detection of silent loss.
///
/// Options that a platform lacks are skipped: they only speed up what TCP finds out anyway.
pub fn tune<'a>(socket: impl Into<SockRef<'a>>, detection: &Detection) {
    let socket = socket.into();
    tune_link(&*socket, detection);
    #[cfg(target_os = "linux")]
    if let Err(error) = socket.set_tcp_user_timeout(Some(detection.user_timeout)) {
        tracing::trace!(%error, "socket option not set");
    }
}

/// Sets what a connection between nodes gets: as [`tune`], but data may wait for as long as the
/// receiver wants.
///
/// `TCP_USER_TIMEOUT` also ends a connection whose receiver lives but has not read for that time,
/// as one with a full mailbox does. That a peer is gone, its node learns from the PMD.
pub fn tune_link<'a>(socket: impl Into<SockRef<'a>>, detection: &Detection) {
    let socket = socket.into();
    let keepalive = TcpKeepalive::new()
        .with_time(detection.keepalive_idle)
        .with_interval(detection.keepalive_interval)
        .with_retries(detection.keepalive_probes);
    let results = [
        socket.set_tcp_nodelay(true),
        socket.set_tcp_keepalive(&keepalive),
    ];
    for error in results.into_iter().filter_map(|result| result.err()) {
        tracing::trace!(%error, "socket option not set");
    }
}

/// Whether a host name or address means this machine only.
pub fn is_loopback(host: &str) -> bool {
    loopback::is_localhost(host) || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether a PMD that listens on `localhost` is reached at this host.
pub fn is_localhost(host: &str) -> bool {
    let localhost = [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ];
    loopback::is_localhost(host) || host.parse().is_ok_and(|ip| localhost.contains(&ip))
}

/// Where one that listens on a host is reached from this machine.
pub fn reached_at(host: &str) -> &str {
    match host {
        "0.0.0.0" | "::" => "localhost",
        host => host,
    }
}

/// The addresses of a host, in the order to try. `localhost` needs no resolver.
pub fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>> {
    if loopback::is_localhost(host) {
        return Ok(loopback::addresses(port));
    }
    let addresses: Vec<_> = (host, port)
        .to_socket_addrs()
        .map_err(|error| {
            Error::new(
                ErrorKind::ConnectionFailed,
                format!("cannot look up host '{host}': {error}"),
            )
        })?
        .collect();
    if addresses.is_empty() {
        return Err(Error::new(
            ErrorKind::ConnectionFailed,
            format!("host '{host}' has no address"),
        ));
    }
    Ok(addresses)
}

/// Connects, trying each address of the host; the time is for all of them together. Looking up
/// a name is not within it, because the system's resolver has its own.
pub fn connect(host: &str, port: u16, timeout: Duration) -> Result<TcpStream> {
    let mut last = None;
    let start = Instant::now();
    let addresses = resolve(host, port)?;
    let mut untried = addresses.len() as u32;
    for address in addresses {
        // One that does not answer leaves some of the time to the next.
        let share = timeout.saturating_sub(start.elapsed()) / untried;
        untried -= 1;
        if share.is_zero() {
            last = last.or_else(|| Some(io::ErrorKind::TimedOut.into()));
            break;
        }
        match TcpStream::connect_timeout(&address, share) {
            Ok(stream) => {
                tune(&stream, &Detection::default());
                return Ok(stream);
            }
            Err(error) => last = last.or(Some(error)),
        }
    }
    let error = last.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into());
    Err(Error::io(
        &format!("cannot connect to {host}:{port}"),
        &error,
    ))
}

/// Where to listen, given as a host: both families for `localhost`, one otherwise.
///
/// Anything beyond loopback is refused unless `insecure` says that the caller knows: there is
/// no authentication yet.
pub fn listen(host: &str, port: u16, insecure: bool) -> Result<Vec<TcpListener>> {
    listen_as(host, port, insecure, false)
}

/// As [`listen`], on a port that somebody else of the same user listens on, who has allowed it
/// with [`share_port`].
pub fn listen_shared(host: &str, port: u16, insecure: bool) -> Result<Vec<TcpListener>> {
    listen_as(host, port, insecure, true)
}

/// Lets another process of this user listen on the same port, or no longer. While both do, a
/// connection goes to either.
pub fn share_port<'a, S>(listeners: &'a [S], share: bool)
where
    SockRef<'a>: From<&'a S>,
{
    #[cfg(unix)]
    for listener in listeners {
        if let Err(error) = SockRef::from(listener).set_reuse_port(share) {
            tracing::warn!(%error, "the port can't be shared");
        }
    }
    #[cfg(not(unix))]
    let _ = (listeners, share);
}

fn listen_as(host: &str, port: u16, insecure: bool, shared: bool) -> Result<Vec<TcpListener>> {
    if !is_loopback(host) && !insecure {
        return Err(Error::new(
            ErrorKind::Insecure,
            format!(
                "refusing to listen on '{host}': anyone who can reach this address could \
                 register nodes, send messages and shut the PMD down, and there is no \
                 authentication; listen on localhost, or allow it explicitly (option `insecure`, \
                 --insecure)"
            ),
        ));
    }
    if loopback::is_localhost(host) {
        return listen_loopback(port, shared);
    }
    let addresses = resolve(host, port)?;
    addresses
        .first()
        .map(|&address| bind(address, shared))
        .into_iter()
        .map(|result| result.map_err(|error| bind_error(host, port, &error)))
        .collect()
}

/// Both loopback families on one port. IPv4 decides who owns the port; a machine without one of
/// them does without.
fn listen_loopback(port: u16, shared: bool) -> Result<Vec<TcpListener>> {
    const FREE_PORT_ATTEMPTS: u32 = 16;
    let mut attempts = 0;
    loop {
        let v4 = match bind((Ipv4Addr::LOCALHOST, port).into(), shared) {
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                tracing::debug!(%error, "no IPv4 loopback; listening on IPv6 only");
                return bind((Ipv6Addr::LOCALHOST, port).into(), shared)
                    .map(|v6| vec![v6])
                    .map_err(|error| bind_error("[::1]", port, &error));
            }
            bound => bound.map_err(|error| bind_error("localhost", port, &error))?,
        };
        let chosen = v4
            .local_addr()
            .map_err(|error| Error::io("cannot read the listening address", &error))?
            .port();
        match bind((Ipv6Addr::LOCALHOST, chosen).into(), shared) {
            Ok(v6) => return Ok(vec![v4, v6]),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                attempts += 1;
                if port != 0 || attempts == FREE_PORT_ATTEMPTS {
                    return Err(bind_error("[::1]", chosen, &error));
                }
            }
            Err(error) => {
                tracing::debug!(%error, "no IPv6 loopback; listening on IPv4 only");
                return Ok(vec![v4]);
            }
        }
    }
}

fn bind_error(host: &str, port: u16, error: &io::Error) -> Error {
    if error.kind() == io::ErrorKind::AddrInUse {
        Error::new(
            ErrorKind::AddressInUse,
            format!("port {port} on {host} is already in use"),
        )
    } else {
        Error::io(&format!("cannot listen on {host}:{port}"), error)
    }
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    const BACKLOG: i32 = 4_096;
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // Without this a restart would have to wait for connections in TIME_WAIT.
    #[cfg(unix)]
    {
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(shared)?;
    }
    #[cfg(not(unix))]
    let _ = shared;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// This machine's host name; `localhost` when it cannot be read.
pub fn hostname() -> String {
    #[cfg(unix)]
    {
        let mut buf = [0u8; 256];
        // SAFETY: the buffer is valid for its length; one byte is kept for the terminator.
        let ok = unsafe { libc::gethostname(buf.as_mut_ptr().cast(), buf.len() - 1) } == 0;
        if ok {
            let len = buf.iter().position(|&byte| byte == 0).unwrap_or(0);
            return String::from_utf8_lossy(&buf[..len]).into_owned();
        }
    }
    "localhost".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_bind_needs_consent() {
        let error = listen("0.0.0.0", 0, false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Insecure);
        assert_eq!(listen("0.0.0.0", 0, true).unwrap().len(), 1);
    }

    #[test]
    fn a_taken_port_is_named() {
        let first = listen("localhost", 0, false).unwrap();
        let port = first[0].local_addr().unwrap().port();
        assert!(first.iter().all(|l| l.local_addr().unwrap().port() == port));
        let error = listen("localhost", port, false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddressInUse);
        assert!(error.to_string().contains(&port.to_string()), "{error}");
    }
}
