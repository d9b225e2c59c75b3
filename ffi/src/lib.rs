//! The C ABI of distflow. What it promises is in `docs/abi.md`.
//!
//! Nothing is decided here: each function checks what C handed over, calls `distflow-core`, and
//! turns the outcome into C's terms. Every function that can fail goes through [`guard`], every
//! handle through [`handle`]; no Rust type decides the size of a public struct. The header is
//! generated from these files in the order below (`ffi/tests/header.rs`).
#![allow(
    non_camel_case_types,
    reason = "the items have the names they have in C"
)]

pub mod status;
pub mod version;

mod block;
mod convert;
pub mod foreign;
mod guard;
mod handle;

pub mod bytes;
pub mod peer;

pub mod event;
pub mod message;

pub mod node_options;

pub mod node;

pub mod node_send;

pub mod node_receive;

pub mod node_callbacks;

pub mod pmd;

pub mod pmd_client;

pub mod log;
