//! Calls of shared documents, as part of a sequence.

use std::ptr::null_mut;

use distflow::doc::*;
use distflow::doc_events::*;
use distflow::doc_inspect::*;
use distflow::doc_kept::*;
use distflow::doc_read::*;
use distflow::doc_sync::*;
use distflow::doc_tidy::*;
use distflow::doc_write::*;

use super::*;

/// JSON that a call may want, or any bytes.
fn json<'a>(input: &mut Input<'a>) -> &'a [u8] {
    match input.byte() % 16 {
        0 => b"",
        1 => b"{",
        2 => b"[]",
        3 => b"[\"a\",\"b\"]",
        4 => b"{\"a\":1,\"b\":2}",
        5 => b"{\"maxLogSize\":2}",
        6 => b"{\"logSampleSize\":3,\"includeCausalGraph\":true}",
        7 => &[b'['; 100],
        8 => b"{\"id\":\"a\",\"src\":\"a\"}",
        9..=12 => b"{\"a\":{\"b\":[1,2]}}",
        _ => input.bytes(),
    }
}

/// A path or pattern for C.
fn path(input: &mut Input<'_>) -> Text {
    let of = |text: &[u8]| Text::Ended([text, &[0]].concat());
    match input.byte() % 8 {
        0 => Text::read(input),
        1 => of(b""),
        2 => of(b"[\"a\",0]"),
        3 => of(b"a.*"),
        4 => of(b"/a/b/0"),
        5 => of(b"/a/b"),
        6 => of(b"/a"),
        _ => of(format!("/{}", input.byte() % 8).as_bytes()),
    }
}

/// Bytes and text alike have a NUL behind them.
fn read_buf(buf: &distflow_buf) {
    assert!(!buf.data.is_null());
    // SAFETY: the library promises a NUL byte behind them.
    let bytes = unsafe { std::slice::from_raw_parts(buf.data.cast::<u8>(), buf.len + 1) };
    assert_eq!(bytes.last(), Some(&0));
}

const EMPTY: distflow_buf = distflow_buf {
    data: null_mut(),
    len: 0,
};

impl World {
    pub(super) fn open_doc(&mut self, input: &mut Input<'_>) {
        let (replica, initial, options) = (Text::read(input), json(input), json(input));
        let mut doc = null_mut();
        // SAFETY: lengths are true, and the text what it should be.
        let status = unsafe {
            let (initial_data, options_data) = (initial.as_ptr().cast(), options.as_ptr().cast());
            distflow_doc_open(
                replica.pointer(),
                initial_data,
                initial.len(),
                options_data,
                options.len(),
                &mut doc,
            )
        };
        check(Known::Live, status);
        assert_eq!(status == DISTFLOW_OK, !doc.is_null());
        if !doc.is_null() {
            self.keep(Kind::Doc, doc as usize);
        }
    }

    /// What one document lacks of the other, as bytes, text or a snapshot; sometimes damaged.
    fn exchange(&mut self, input: &mut Input<'_>) {
        let how = input.byte();
        let [(from, from_known), (to, to_known)] = DOCS
            .map(|place| self.slots[place])
            .map(|slot| (slot.handle as *mut distflow_doc, slot.known));
        let (mut clock, mut found) = (EMPTY, EMPTY);
        // SAFETY: handles may be anything; lengths are true, and structs are freed by their own
        // function.
        unsafe {
            check(to_known, distflow_doc_clock(to, &mut clock));
            let (data, len) = (clock.data.cast_const(), clock.len);
            let mut is_complete = false;
            let status = match how % 4 {
                0 => distflow_doc_since(from, data, len, &mut found, &mut is_complete),
                1 => distflow_doc_encode_since(from, data, len, &mut found, &mut is_complete),
                2 => distflow_doc_snapshot(from, &mut found),
                _ => distflow_doc_snapshot_json(from, &mut found),
            };
            check(from_known, status);
            if status == DISTFLOW_OK && how & 64 != 0 {
                *found.data.add(usize::from(input.byte()) % found.len) ^= 1 << (how % 7);
            }
            let data = found.data.cast_const();
            let status = match how % 4 {
                0 | 1 => distflow_doc_receive_batch(to, data, found.len, null_mut()),
                _ if how & 128 != 0 => distflow_doc_restore(to, data, found.len),
                _ => distflow_doc_merge(to, data, found.len),
            };
            check(to_known, status);
            distflow_buf_free(&mut clock);
            distflow_buf_free(&mut found);
        }
    }

    pub(super) fn call_doc(&mut self, input: &mut Input<'_>) {
        let which = input.byte();
        let (handle, known) = self.handle(input, Kind::Doc);
        let doc = handle as *mut distflow_doc;
        let gives = [
            distflow_doc_json,
            distflow_doc_canonical,
            distflow_doc_hash,
            distflow_doc_clock,
            distflow_doc_replica,
            distflow_doc_source,
            distflow_doc_snapshot,
            distflow_doc_snapshot_json,
            distflow_doc_metrics,
            distflow_doc_metrics_prometheus,
            distflow_doc_causal_graph,
        ];
        match which % 16 {
            0 => {
                let gives = gives[usize::from(input.byte()) % gives.len()];
                filled!(known, read_buf, distflow_buf_free, |out| gives(doc, out));
            }
            1 | 2 => {
                let (path, value) = (path(input), json(input));
                let (data, len) = (value.as_ptr().cast(), value.len());
                filled!(known, read_buf, distflow_buf_free, |out| {
                    distflow_doc_set(doc, path.pointer(), data, len, out)
                });
            }
            3 => {
                let path = path(input);
                // SAFETY: handles may be anything, lengths are true, and texts what they should be.
                check(known, unsafe {
                    distflow_doc_delete(doc, path.pointer(), null_mut())
                });
            }
            4 => {
                let path = path(input);
                filled!(known, read_buf, distflow_buf_free, |out| {
                    distflow_doc_get(doc, path.pointer(), out)
                });
            }
            5 => {
                let op = json(input);
                let (data, len) = (op.as_ptr().cast(), op.len());
                // SAFETY: handles may be anything, lengths are true, and texts what they should be.
                check(known, unsafe {
                    distflow_doc_receive(doc, data, len, null_mut())
                });
                // SAFETY: handles may be anything, lengths are true, and texts what they should be.
                check(known, unsafe {
                    distflow_doc_receive_batch(doc, data, len, null_mut())
                });
            }
            6 => {
                let snapshot = json(input);
                let (data, len) = (snapshot.as_ptr().cast(), snapshot.len());
                // SAFETY: handles may be anything, lengths are true, and texts what they should be.
                check(known, unsafe { distflow_doc_merge(doc, data, len) });
                // SAFETY: handles may be anything, lengths are true, and texts what they should be.
                check(known, unsafe { distflow_doc_restore(doc, data, len) });
            }
            7 => {
                let clock = json(input);
                let (data, len) = (clock.as_ptr().cast(), clock.len());
                filled!(known, read_buf, distflow_buf_free, |out| {
                    distflow_doc_since(doc, data, len, out, null_mut())
                });
            }
            8 => {
                let pattern = path(input);
                let mut id = 0;
                // SAFETY: handles may be anything, lengths are true, and texts what they should be.
                check(known, unsafe {
                    distflow_doc_watch(doc, pattern.pointer(), &mut id)
                });
                if known == Known::Dead || which & 64 != 0 || id > 8 {
                    check(known, distflow_doc_unwatch(doc, id));
                }
            }
            9 => {
                check(known, distflow_doc_listen(doc, input.byte() % 3));
                filled!(known, read_buf, distflow_buf_free, |out| {
                    distflow_doc_events(doc, out)
                });
            }
            10 => {
                let members = json(input);
                let (data, len) = (members.as_ptr().cast(), members.len());
                // SAFETY: handles may be anything, lengths are true, and texts what they should be.
                check(known, unsafe { distflow_doc_set_members(doc, data, len) });
            }
            11 => {
                check(known, distflow_doc_gc_log(doc, input.extreme() as i64));
                check(known, distflow_doc_gc_tombstones(doc));
                check(known, distflow_doc_drain_pending(doc));
                check(known, distflow_doc_clean_pending(doc));
                check(known, distflow_doc_flush(doc));
                check(known, distflow_doc_checkpoint(doc));
            }
            12 => {
                let options = json(input);
                let (data, len) = (options.as_ptr().cast(), options.len());
                filled!(known, read_buf, distflow_buf_free, |out| {
                    distflow_doc_inspect(doc, data, len, out)
                });
            }
            13 => {
                let (from, to) = (input.extreme(), input.extreme());
                filled!(known, read_buf, distflow_buf_free, |out| {
                    distflow_doc_logged(doc, from, to, out)
                });
                filled!(known, read_buf, distflow_buf_free, |out| {
                    distflow_doc_replay(doc, from, to, out)
                });
            }
            14 => self.exchange(input),
            _ => {
                if self.may_end(input, handle, known) {
                    distflow_doc_free(doc);
                    self.forget(handle, Kind::Doc);
                }
            }
        }
    }
}
