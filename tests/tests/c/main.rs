//! Programs in C and C++ that use libdistflow.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod abi;
mod document;
mod examples;
mod header;
mod install;
mod kept;
mod lifecycle;
mod misuse;
mod page;
mod session;
mod small;
mod wrapper;
