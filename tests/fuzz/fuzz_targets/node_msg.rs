//! Messages between nodes: a parser that has seen others understands the same as a fresh one,
//! and every payload is one JSON value.
#![no_main]

use bytes::Bytes;
use distflow_core::wire::json::validate;
use distflow_core::wire::peer::{PeerFrame, PeerParser};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut seasoned = PeerParser::new();
    for part in data.split(|&byte| byte == 0xff) {
        let body = Bytes::copy_from_slice(part);
        let fresh = PeerParser::new().parse(&body);
        let known = seasoned.parse(&body);
        assert_eq!(fresh.is_ok(), known.is_ok(), "{fresh:?} {known:?}");
        if let (Ok(fresh), Ok(known)) = (fresh, known) {
            if let PeerFrame::Message { payload, .. } = &known
                && !payload.is_absent()
            {
                validate(payload.as_bytes()).expect("a payload that is no JSON value");
            }
            assert_eq!(fresh, known);
        }
    }
});
