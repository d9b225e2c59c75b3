//! Sequences of calls of the C ABI over live, stale, foreign and random handles.
#![no_main]

use std::sync::{LazyLock, Mutex};

use libfuzzer_sys::fuzz_target;

#[path = "../../../ffi/tests/random_calls/calls.rs"]
mod calls;

// What lasts is opened once; a sequence that wears it out has it opened anew.
static WORLD: LazyLock<Mutex<calls::World>> = LazyLock::new(|| Mutex::new(calls::World::new()));

fuzz_target!(|data: &[u8]| {
    WORLD.lock().unwrap().run(data);
});
