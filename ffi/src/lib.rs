//! The C ABI of distflow. What it promises is in `docs/abi.md`.
//!
//! Nothing is decided here: each function checks what C handed over, calls `distflow-core`, and
//! turns the outcome into C's terms. Every function that can fail goes through `guard`, every
//! handle through `handle`; no Rust type decides the size of a public struct. The header is
//! generated from the public modules by `ffi/tests/header.rs`.
#![allow(
    non_camel_case_types,
    reason = "the items have the names they have in C"
)]

mod block;
mod convert;
mod guard;
mod handle;
mod queue;

pub mod buf;
pub mod bytes;
pub mod doc;
pub mod doc_events;
pub mod doc_inspect;
pub mod doc_kept;
pub mod doc_read;
pub mod doc_sync;
pub mod doc_tidy;
pub mod doc_write;
pub mod event;
pub mod foreign;
pub mod last_error;
pub mod log;
pub mod message;
pub mod node;
pub mod node_callbacks;
pub mod node_options;
pub mod node_receive;
pub mod node_send;
pub mod opaque;
pub mod peer;
pub mod pmd;
pub mod pmd_client;
#[cfg(feature = "sessions")]
pub mod session;
#[cfg(feature = "sessions")]
pub mod session_events;
#[cfg(feature = "sessions")]
pub mod session_list;
#[cfg(feature = "sessions")]
pub mod session_play;
pub mod status;
pub mod version;
