//! Versions of the library and of its ABI.

use std::ffi::c_char;

use distflow_core::{Error, ErrorKind};

use crate::guard::guard;
use crate::status::distflow_status;

/// Number of this ABI, and of the library's SONAME. It is raised only when programs have to be
/// built again.
pub const DISTFLOW_ABI_VERSION: u32 = 1;

/// The version of the library that is loaded, such as `0.1.0`.
///
/// Ownership: the text is static. Blocks: no. In a callback: allowed. Statuses: none.
#[unsafe(no_mangle)]
pub extern "C" fn distflow_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Checks that the loaded library has the ABI that the program was compiled for. Call it once
/// with `DISTFLOW_ABI_VERSION`.
///
/// Ownership: none. Blocks: no. In a callback: allowed.
/// Statuses: OK, ABI_MISMATCH.
#[unsafe(no_mangle)]
pub extern "C" fn distflow_check_abi(abi_version: u32) -> distflow_status {
    guard(|| {
        if abi_version == DISTFLOW_ABI_VERSION {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::AbiMismatch,
            format!(
                "the program was compiled for distflow ABI {abi_version}, but the library has \
                 ABI {DISTFLOW_ABI_VERSION} (version {})",
                distflow_core::VERSION
            ),
        ))
    })
}
