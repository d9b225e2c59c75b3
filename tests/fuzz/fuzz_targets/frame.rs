//! Frames: the same bodies come out however the bytes are cut. The first byte chooses the cuts.
#![no_main]

use distflow_core::wire::frame::{FrameReader, split};
use libfuzzer_sys::fuzz_target;

const BYTES_MAX: usize = 1 << 12;

fuzz_target!(|data: &[u8]| {
    let Some((&cut, data)) = data.split_first() else {
        return;
    };
    let mut whole = Vec::new();
    let mut rest = data;
    let mut failed = false;
    loop {
        match split(rest, BYTES_MAX) {
            Ok(Some(body)) => {
                whole.push(body.to_vec());
                rest = &rest[4 + body.len()..];
            }
            Ok(None) => break,
            Err(_) => {
                failed = true;
                break;
            }
        }
    }
    let mut reader = FrameReader::new(BYTES_MAX);
    let (mut pieces, mut refused) = (Vec::new(), false);
    for piece in data.chunks(usize::from(cut).max(1)) {
        reader.push(piece);
        loop {
            match reader.next_frame() {
                Ok(Some(body)) => pieces.push(body.to_vec()),
                Ok(None) => break,
                Err(_) => {
                    refused = true;
                    break;
                }
            }
        }
        if refused {
            break;
        }
    }
    assert_eq!(pieces, whole);
    assert_eq!(refused, failed);
});
