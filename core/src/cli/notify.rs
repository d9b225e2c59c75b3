//! Telling a service manager how far the start is (`sd_notify`).

/// Sends a state such as `READY=1` to whoever asked for it in `NOTIFY_SOCKET`; does nothing where
/// nobody did.
#[cfg(unix)]
pub(super) fn send(state: &str) {
    if let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty())
        && let Err(error) = send_to(&name, state)
    {
        tracing::warn!(%error, "the service manager can't be told '{state}'");
    }
}

#[cfg(not(unix))]
pub(super) fn send(_state: &str) {}

#[cfg(unix)]
fn send_to(name: &std::ffi::OsStr, state: &str) -> std::io::Result<()> {
    use std::os::unix::net::UnixDatagram;

    let socket = UnixDatagram::unbound()?;
    #[cfg(target_os = "linux")]
    {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::ffi::OsStrExt;
        // A name that is no file.
        if let Some(name) = name.as_bytes().strip_prefix(b"@") {
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
            return socket.send_to_addr(state.as_bytes(), &address).map(drop);
        }
    }
    socket.send_to(state.as_bytes(), name).map(drop)
}
