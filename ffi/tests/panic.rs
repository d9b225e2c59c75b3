//! A panic, planted in the call that sends, comes back as a status and breaks its handle alone.
//!
//! Needs the feature `plants`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

use std::ffi::{CStr, c_char, c_void};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU32, Ordering};

use distflow::buf::{distflow_buf, distflow_buf_free};
use distflow::event::distflow_event;
use distflow::last_error::distflow_last_error;
use distflow::message::{distflow_message, distflow_message_free};
use distflow::node::*;
use distflow::node_callbacks::*;
use distflow::node_options::*;
use distflow::node_receive::*;
use distflow::node_send::*;
use distflow::opaque::*;
use distflow::pmd::*;
use distflow::status::*;

const LIMIT_MS: i64 = 60_000;

fn open_pmd() -> (*mut distflow_pmd, u16) {
    let mut options = MaybeUninit::<distflow_pmd_options>::uninit();
    let (mut pmd, mut port) = (std::ptr::null_mut(), 0);
    // SAFETY: every pointer is valid, and the options are filled by their init function.
    unsafe {
        let size = size_of::<distflow_pmd_options>();
        assert_eq!(
            distflow_pmd_options_init(options.as_mut_ptr(), size),
            DISTFLOW_OK
        );
        (*options.as_mut_ptr()).port = 0;
        assert_eq!(distflow_pmd_open(options.as_ptr(), &mut pmd), DISTFLOW_OK);
        assert_eq!(distflow_pmd_port(pmd, &mut port), DISTFLOW_OK);
    }
    (pmd, port)
}

fn open_node(pmd_port: u16, alias: &CStr) -> *mut distflow_node {
    let mut options = MaybeUninit::<distflow_node_options>::uninit();
    let mut node = std::ptr::null_mut();
    // SAFETY: every pointer is valid, and the options are filled by their init function.
    unsafe {
        let size = size_of::<distflow_node_options>();
        assert_eq!(
            distflow_node_options_init(options.as_mut_ptr(), size),
            DISTFLOW_OK
        );
        let options = &mut *options.as_mut_ptr();
        options.alias = alias.as_ptr();
        options.pmd_port = pmd_port;
        options.auto_start = 0;
        options.start_timeout_ms = LIMIT_MS as u64;
        assert_eq!(distflow_node_open(options, &mut node), DISTFLOW_OK);
    }
    node
}

fn send(node: *mut distflow_node, target: &CStr) -> distflow_status {
    let payload: *const c_char = c"1".as_ptr();
    // SAFETY: the target ends with a NUL byte, and the payload has one byte.
    unsafe { distflow_node_send(node, target.as_ptr(), payload, 1, LIMIT_MS) }
}

/// The status and the text of this thread's last error.
fn last_error() -> (distflow_status, String) {
    let mut text = [0 as c_char; 512];
    // SAFETY: the buffer is as long as is said, and gets a NUL byte.
    unsafe {
        let status = distflow_last_error(text.as_mut_ptr(), text.len(), std::ptr::null_mut());
        let text = CStr::from_ptr(text.as_ptr()).to_str().unwrap();
        (status, text.to_owned())
    }
}

fn registered(pmd: *mut distflow_pmd) -> usize {
    let mut peers = MaybeUninit::uninit();
    // SAFETY: the struct is filled in by the call, and freed by its own function.
    unsafe {
        assert_eq!(distflow_pmd_snapshot(pmd, peers.as_mut_ptr()), DISTFLOW_OK);
        let len = peers.assume_init_ref().len;
        distflow::peer::distflow_peers_free(peers.as_mut_ptr());
        len
    }
}

unsafe extern "C" fn ignore(
    _node: *mut distflow_node,
    _event: *const distflow_event,
    _context: *mut c_void,
) {
}

unsafe extern "C" fn count_drop(context: *mut c_void) {
    // SAFETY: the test hands out a counter that outlives the node.
    let drops = unsafe { &*context.cast::<AtomicU32>() };
    drops.fetch_add(1, Ordering::SeqCst);
}

#[test]
fn a_panic_is_a_status_and_breaks_its_handle_alone() {
    let (pmd, port) = open_pmd();
    let (breaks, other) = (open_node(port, c"panic"), open_node(port, c"other"));
    let drops = AtomicU32::new(0);
    let context = (&raw const drops).cast_mut().cast::<c_void>();
    // SAFETY: the callback ignores what it gets, and the counter outlives the node.
    let status = unsafe { distflow_node_on_event(breaks, Some(ignore), context, Some(count_drop)) };
    assert_eq!(status, DISTFLOW_OK);

    assert_eq!(send(breaks, c"other"), DISTFLOW_PANIC);
    let (status, text) = last_error();
    assert_eq!(status, DISTFLOW_PANIC);
    assert!(
        text.contains("panicked") && text.contains("planted"),
        "{text}"
    );

    // Every further call on this handle says so, and does nothing.
    assert_eq!(send(breaks, c"other"), DISTFLOW_PANIC);
    assert!(
        last_error().1.contains("an earlier call"),
        "{:?}",
        last_error()
    );
    let (mut node_port, mut id) = (0, MaybeUninit::<distflow_buf>::zeroed());
    // SAFETY: every pointer is valid.
    unsafe {
        assert_eq!(distflow_node_port(breaks, &mut node_port), DISTFLOW_PANIC);
        assert_eq!(distflow_node_id(breaks, id.as_mut_ptr()), DISTFLOW_PANIC);
        distflow_buf_free(id.as_mut_ptr());
    }
    assert_eq!(distflow_node_watch(breaks), DISTFLOW_PANIC);
    assert_eq!(distflow_node_close(breaks, LIMIT_MS), DISTFLOW_PANIC);

    // Other handles, and this thread, go on.
    assert_eq!(send(other, c"panic"), DISTFLOW_OK);
    assert_eq!(last_error(), (DISTFLOW_OK, String::new()));
    let third = open_node(port, c"third");
    assert_eq!(send(third, c"other"), DISTFLOW_OK);
    let mut message = MaybeUninit::<distflow_message>::uninit();
    // SAFETY: the struct is filled in by the call, and freed by its own function.
    unsafe {
        assert_eq!(
            distflow_node_recv(other, LIMIT_MS, message.as_mut_ptr()),
            DISTFLOW_OK
        );
        distflow_message_free(message.as_mut_ptr());
    }
    assert_eq!(registered(pmd), 3);

    // Freeing it ends the node, and its callbacks, as ever.
    assert_eq!(drops.load(Ordering::SeqCst), 0);
    distflow_node_free(breaks);
    assert_eq!(drops.load(Ordering::SeqCst), 1);
    assert_eq!(registered(pmd), 2);
    assert_eq!(send(breaks, c"other"), DISTFLOW_INVALID_HANDLE);
    distflow_node_free(other);
    distflow_node_free(third);
    distflow_pmd_free(pmd);
}
