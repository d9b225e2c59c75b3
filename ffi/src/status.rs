//! The numbers that calls return.

use std::ffi::c_char;

use distflow_core::ErrorKind;

/// What every call that can fail returns: 0 = `DISTFLOW_OK`, otherwise one of the numbers below.
/// Later versions may add numbers, and never change the meaning of one.
pub type distflow_status = i32;

/// Success.
pub const DISTFLOW_OK: distflow_status = 0;
/// An argument or option is missing, malformed or out of range.
pub const DISTFLOW_INVALID_ARGUMENT: distflow_status = 1;
/// An address beyond loopback was asked for without saying that this is insecure.
pub const DISTFLOW_INSECURE: distflow_status = 2;
/// A handle is null, stale, foreign or of another type.
pub const DISTFLOW_INVALID_HANDLE: distflow_status = 3;
/// The call would wait for the callback that makes it.
pub const DISTFLOW_REENTRANT_CALL: distflow_status = 4;
/// The program was built for another version of the C ABI than the library's.
pub const DISTFLOW_ABI_MISMATCH: distflow_status = 5;
/// The node is not started, or has been shut down.
pub const DISTFLOW_NOT_STARTED: distflow_status = 100;
/// The object was closed while the call waited.
pub const DISTFLOW_CLOSED: distflow_status = 101;
/// This process runs a node already.
pub const DISTFLOW_ALREADY_RUNNING: distflow_status = 102;
/// The handle was inherited over `fork`; start a new node in the child.
pub const DISTFLOW_FORKED: distflow_status = 103;
/// No PMD can be reached.
pub const DISTFLOW_PMD_UNAVAILABLE: distflow_status = 200;
/// Something answers on the PMD's port, but it is not a PMD.
pub const DISTFLOW_NOT_PMD: distflow_status = 201;
/// No executable to launch a PMD with was found, or it failed.
pub const DISTFLOW_PMD_LAUNCH_FAILED: distflow_status = 202;
/// The time for the operation is over; its outcome is unknown.
pub const DISTFLOW_TIMEOUT: distflow_status = 203;
/// The target of a send is not registered.
pub const DISTFLOW_RESOLVE_FAILED: distflow_status = 204;
/// The PMD knows no such node.
pub const DISTFLOW_NODE_NOT_FOUND: distflow_status = 205;
/// Another live node holds the alias.
pub const DISTFLOW_ALIAS_IN_USE: distflow_status = 206;
/// Another live connection holds the node id.
pub const DISTFLOW_NODE_ID_IN_USE: distflow_status = 207;
/// The PMD refused the request for another reason; the text says which.
pub const DISTFLOW_REFUSED: distflow_status = 208;
/// A connection could not be established or broke.
pub const DISTFLOW_CONNECTION_FAILED: distflow_status = 209;
/// A queue is full; try again later.
pub const DISTFLOW_BUSY: distflow_status = 210;
/// The address or port is taken.
pub const DISTFLOW_ADDRESS_IN_USE: distflow_status = 211;
/// Any other failure of the operating system.
pub const DISTFLOW_IO: distflow_status = 212;
/// Bytes are not a valid frame.
pub const DISTFLOW_INVALID_FRAME: distflow_status = 300;
/// A frame or payload is larger than the limit.
pub const DISTFLOW_TOO_LARGE: distflow_status = 301;
/// Text is not valid JSON, or is nested too deeply.
pub const DISTFLOW_INVALID_JSON: distflow_status = 302;
/// A message is valid JSON but not a valid message.
pub const DISTFLOW_INVALID_MESSAGE: distflow_status = 303;
/// Two histories of a shared document are written as one source.
pub const DISTFLOW_SOURCE_CONFLICT: distflow_status = 304;
/// A defect in distflow; please report it.
pub const DISTFLOW_INTERNAL: distflow_status = 900;
/// A defect in distflow made code panic; the panic was caught. Please report it.
pub const DISTFLOW_PANIC: distflow_status = 901;

/// The name of a status in `snake_case`, such as `alias_in_use`; `ok` for 0, and `unknown` for a
/// number that this version does not know. Error names are the same in every language.
///
/// Ownership: the text is static. Blocks: no. In a callback: allowed. Statuses: none.
#[unsafe(no_mangle)]
pub extern "C" fn distflow_status_name(status: distflow_status) -> *const c_char {
    name(status).as_ptr()
}

fn name(status: distflow_status) -> &'static std::ffi::CStr {
    if status == DISTFLOW_OK {
        return c"ok";
    }
    let kind = ErrorKind::ALL.iter().find(|kind| kind.number() == status);
    kind.map_or(c"unknown", |kind| kind.c_name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_constant() {
        // One constant for each kind, and none besides.
        let source = include_str!("status.rs");
        let constants: Vec<(String, i32)> = source
            .lines()
            .filter_map(|line| line.strip_prefix("pub const DISTFLOW_"))
            .map(|line| {
                let (name, value) = line.split_once(": distflow_status = ").unwrap();
                let value = value.trim_end_matches(';').parse().unwrap();
                (name.to_lowercase(), value)
            })
            .collect();
        let mut kinds = vec![("ok".to_owned(), 0)];
        kinds.extend(
            ErrorKind::ALL
                .iter()
                .map(|kind| (kind.name().to_owned(), kind.number())),
        );
        assert_eq!(constants, kinds);
    }

    #[test]
    fn any_number_has_a_name() {
        assert_eq!(name(DISTFLOW_OK), c"ok");
        assert_eq!(name(DISTFLOW_ALIAS_IN_USE), c"alias_in_use");
        assert_eq!(name(-7), c"unknown");
        assert_eq!(name(i32::MAX), c"unknown");
    }
}
