//! Asking a PMD without being a node.

use std::ffi::c_char;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use distflow_core::{Error, ErrorKind, Interrupter, PmdClient, Result};
use parking_lot::Mutex;

use crate::convert;
use crate::guard::{guard, quietly};
use crate::handle::{self, Object};
use crate::opaque::distflow_pmd_client;
use crate::peer::{self, Texts, distflow_peers};
use crate::status::distflow_status;

/// What a `distflow_pmd_client *` stands for.
pub(crate) struct ClientObject {
    // Protects the connection; held for a request, each with its time limit.
    client: Mutex<PmdClient>,
    interrupter: Interrupter,
    broken: AtomicBool,
    closed: AtomicBool,
}

impl Object for ClientObject {
    type Public = distflow_pmd_client;
    const TYPE: (usize, &'static str) = (3, "distflow_pmd_client");

    fn broken(&self) -> &AtomicBool {
        &self.broken
    }
}

/// A limit that stands for none: longer than any process lives, short enough for any clock.
const NO_LIMIT: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

impl ClientObject {
    /// Runs a request; those of other threads wait their turn, within the time.
    fn ask<T>(&self, timeout_ms: i64, ask: impl FnOnce(&mut PmdClient) -> Result<T>) -> Result<T> {
        let begun = Instant::now();
        let timeout = convert::timeout(timeout_ms)
            .unwrap_or(NO_LIMIT)
            .min(NO_LIMIT);
        let mut client = self
            .client
            .try_lock_for(timeout)
            .ok_or_else(Error::request_timeout)?;
        self.check_open()?;
        client.set_timeout(timeout.saturating_sub(begun.elapsed()));
        let result = ask(&mut client);
        // What a close did to the request is no failure of the PMD's.
        if result.is_err() {
            self.check_open()?;
        }
        result
    }

    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the client is closed"));
        }
        Ok(())
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.interrupter.interrupt();
    }
}

/// Connects to a PMD.
///
/// Ownership: `host` is borrowed during the call; NULL means `localhost`. `*client_out` is owned;
/// release it with `distflow_pmd_client_free`. It is NULL on failure.
/// Blocks: up to `timeout_ms`. In a callback: allowed.
/// Statuses: OK, PMD_UNAVAILABLE (or the host cannot be looked up), NOT_PMD, TIMEOUT,
/// INVALID_ARGUMENT, BUSY, IO, PANIC.
///
/// # Safety
/// `host` must be NULL or a NUL-terminated text, `client_out` NULL or point to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_pmd_client_open(
    host: *const c_char,
    port: u16,
    timeout_ms: i64,
    client_out: *mut *mut distflow_pmd_client,
) -> distflow_status {
    guard(|| {
        // SAFETY: the caller's promises are this function's, here and below.
        unsafe { convert::set("client_out", client_out, std::ptr::null_mut()) }?;
        // SAFETY: as above.
        let host = unsafe { convert::optional_text("host", host) }?.unwrap_or("localhost");
        if port == 0 {
            return Err(convert::invalid("port must be 1 to 65535"));
        }
        let timeout = convert::timeout(timeout_ms)
            .unwrap_or(NO_LIMIT)
            .min(NO_LIMIT);
        let client = PmdClient::connect_within(host, port, timeout)?;
        let interrupter = client.interrupter()?;
        let object = Arc::new(ClientObject {
            client: Mutex::new(client),
            interrupter,
            broken: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        });
        // SAFETY: as above.
        unsafe { convert::set("client_out", client_out, handle::insert(object)?) }
    })
}

/// Gives the registered nodes, or those whose alias starts with `prefix`.
///
/// Ownership: `prefix` is borrowed during the call; NULL means all. `*peers_out` is owned;
/// release it with `distflow_peers_free`.
/// Blocks: up to `timeout_ms`. In a callback: allowed.
/// Statuses: OK, PMD_UNAVAILABLE (the connection is lost), TIMEOUT, CLOSED, INVALID_HANDLE,
/// INVALID_ARGUMENT, REFUSED, INVALID_MESSAGE, FORKED, PANIC.
///
/// # Safety
/// `prefix` must be NULL or a NUL-terminated text, `peers_out` NULL or point to a
/// `distflow_peers`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_pmd_client_list(
    client: *mut distflow_pmd_client,
    prefix: *const c_char,
    timeout_ms: i64,
    peers_out: *mut distflow_peers,
) -> distflow_status {
    let list = |object: &Arc<ClientObject>| {
        // SAFETY: the caller's promises are this function's, here and below.
        let prefix = unsafe { convert::optional_text("prefix", prefix) }?;
        let nodes = object.ask(timeout_ms, |client| client.list(prefix))?;
        peer::peers(nodes.iter().map(Texts::of_info))
    };
    // SAFETY: as above.
    unsafe { handle::with_out(client, "peers_out", peers_out, distflow_peers::EMPTY, list) }
}

/// Looks up an alias or node id. `*peers_out` has exactly one node then.
///
/// Ownership: `name` is borrowed during the call. `*peers_out` is owned; release it with
/// `distflow_peers_free`.
/// Blocks: up to `timeout_ms`. In a callback: allowed.
/// Statuses: OK, NODE_NOT_FOUND, PMD_UNAVAILABLE (the connection is lost), TIMEOUT, CLOSED,
/// INVALID_HANDLE, INVALID_ARGUMENT, REFUSED, INVALID_MESSAGE, FORKED, PANIC.
///
/// # Safety
/// `name` must be NULL or a NUL-terminated text, `peers_out` NULL or point to a
/// `distflow_peers`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn distflow_pmd_client_resolve(
    client: *mut distflow_pmd_client,
    name: *const c_char,
    timeout_ms: i64,
    peers_out: *mut distflow_peers,
) -> distflow_status {
    let resolve = |object: &Arc<ClientObject>| {
        // SAFETY: the caller's promises are this function's, here and below.
        let name = unsafe { convert::text("name", name) }?;
        let node = object.ask(timeout_ms, |client| client.resolve(name))?;
        peer::peers(std::iter::once(Texts::of_info(&node)))
    };
    // SAFETY: as above.
    unsafe {
        handle::with_out(
            client,
            "peers_out",
            peers_out,
            distflow_peers::EMPTY,
            resolve,
        )
    }
}

/// Ends the PMD. Nodes that are registered lose it; they keep their connections to each other, and
/// one of them launches another PMD if it may.
///
/// Ownership: none.
/// Blocks: up to `timeout_ms`. In a callback: allowed.
/// Statuses: OK, REFUSED, PMD_UNAVAILABLE (the connection is lost), TIMEOUT, CLOSED,
/// INVALID_HANDLE, INVALID_MESSAGE, FORKED, PANIC.
#[unsafe(no_mangle)]
pub extern "C" fn distflow_pmd_client_kill(
    client: *mut distflow_pmd_client,
    timeout_ms: i64,
) -> distflow_status {
    handle::with::<ClientObject>(client, |object| object.ask(timeout_ms, PmdClient::shutdown))
}

/// Closes the connection. Calls that wait on other threads end with `DISTFLOW_CLOSED`.
///
/// Ownership: the handle stays valid until `distflow_pmd_client_free`.
/// Blocks: no. In a callback: allowed.
/// Statuses: OK, INVALID_HANDLE, FORKED, PANIC.
#[unsafe(no_mangle)]
pub extern "C" fn distflow_pmd_client_close(client: *mut distflow_pmd_client) -> distflow_status {
    handle::with::<ClientObject>(client, |object| {
        object.close();
        Ok(())
    })
}

/// Releases a client, and closes it first if that was not done. The handle is stale from the
/// start of this call on.
///
/// Ownership: takes `client`, which may be NULL, stale or foreign: then nothing happens.
/// Blocks: no. In a callback: allowed. Statuses: none.
#[unsafe(no_mangle)]
pub extern "C" fn distflow_pmd_client_free(client: *mut distflow_pmd_client) {
    quietly(|| {
        if let Some(object) = handle::remove::<ClientObject>(client) {
            object.close();
        }
    });
}
