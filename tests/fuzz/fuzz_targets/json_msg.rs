//! Requests to a PMD: anything is understood or refused with a text.
#![no_main]

use distflow_core::wire::pmd::parse_request;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    match parse_request(data) {
        Ok(incoming) => {
            if let Err(text) = incoming.request {
                assert!(!text.is_empty());
            }
        }
        Err(error) => assert!(!error.message().is_empty()),
    }
});
