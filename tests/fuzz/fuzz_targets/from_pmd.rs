//! What a node gets from something that says it is a PMD.
#![no_main]

use distflow_core::wire::pmd::{Answer, FromPmd, parse_from_pmd};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(FromPmd::Response { payload, .. }) = parse_from_pmd(data) {
        let _ = Answer::parse(payload);
    }
});
