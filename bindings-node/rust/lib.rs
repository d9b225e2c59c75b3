//! The native half of `@distflow/native`; the public API is TypeScript, in `src/`.
//!
//! Few calls, and text in JSON: JavaScript parses it faster than an addon can build objects.
//! What happens off the JavaScript thread is collected, and one wake-up tells that something
//! waits; JavaScript then takes all of it in one call. Nothing here blocks that thread.
//!
//! Every function is `catch_unwind`: a panic in one would otherwise end the process.
#![allow(
    missing_docs,
    reason = "napi-derive makes public items without documentation"
)]
#![cfg_attr(
    test,
    allow(dead_code, reason = "nothing registers functions in a build for tests")
)]

mod document;
mod environment;
mod failure;
mod log;
mod node;
mod outbox;
mod pmd;
mod process;
mod send;
mod session;
mod tasks;
mod text;
mod wake;
