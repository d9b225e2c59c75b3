//! The JSON validator takes exactly what serde_json takes, up to the depth limit.
#![no_main]

use distflow_core::wire::json::validate;
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

fuzz_target!(|data: &[u8]| {
    let ours = validate(data);
    let theirs = serde_json::from_slice::<&RawValue>(data);
    match ours {
        Ok(_) => assert!(theirs.is_ok(), "{theirs:?}"),
        Err(error) => assert!(
            theirs.is_err() || error.to_string().contains("nested deeper"),
            "{error}"
        ),
    }
});
