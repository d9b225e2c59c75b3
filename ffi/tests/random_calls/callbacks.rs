//! What callbacks do, and the contexts that they get.

use super::*;

pub(super) const CANARY: u64 = 0x00C0_FFEE_00C0_FFEE;

/// What callbacks get as their context.
pub(super) struct Probe {
    pub(super) canary: u64,
    /// What the callback does.
    pub(super) script: u8,
    pub(super) contexts: Arc<AtomicUsize>,
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.canary = 0;
        self.contexts.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(super) unsafe extern "C" fn drop_probe(context: *mut c_void) {
    // SAFETY: it came from `Box::into_raw`, and the library calls this once.
    let probe = unsafe { Box::from_raw(context.cast::<Probe>()) };
    assert_eq!(probe.canary, CANARY, "a context was dropped twice");
}

pub(super) fn script_of(context: *mut c_void) -> u8 {
    // SAFETY: the library lends a context until it drops it.
    let probe = unsafe { &*context.cast::<Probe>() };
    assert_eq!(
        probe.canary, CANARY,
        "a callback got a context that was dropped"
    );
    probe.script
}

/// What a node's callback does with its node.
pub(super) fn act(node: *mut distflow_node, script: u8) {
    let closed = |status| status == DISTFLOW_REENTRANT_CALL || status == DISTFLOW_INVALID_HANDLE;
    // SAFETY: every pointer is valid; handles may be anything.
    unsafe {
        if script & 1 != 0 {
            assert!(closed(distflow_node_close(node, -1)));
        }
        if script & 2 != 0 {
            distflow_node_try_send(node, c"b".as_ptr(), c"1".as_ptr(), 1);
        }
        if script & 4 != 0 {
            let mut message = MaybeUninit::zeroed();
            distflow_node_recv(node, 0, message.as_mut_ptr());
            distflow_message_free(message.as_mut_ptr());
        }
        if script & 8 != 0 {
            distflow_log_set(DISTFLOW_LOG_OFF, None, null_mut(), None);
        }
        if script & 128 != 0 {
            distflow_node_free(node);
            assert_eq!(distflow_node_close(node, -1), DISTFLOW_INVALID_HANDLE);
        }
    }
}

pub(super) unsafe extern "C" fn on_message(
    node: *mut distflow_node,
    message: *const distflow_message,
    context: *mut c_void,
) {
    // SAFETY: the library lends the message during the call, here and below.
    read_message(unsafe { &*message });
    act(node, script_of(context));
    // SAFETY: as above; still so, whatever was done.
    read_message(unsafe { &*message });
    script_of(context);
}

pub(super) unsafe extern "C" fn on_messages(
    node: *mut distflow_node,
    messages: *const distflow_message,
    len: usize,
    context: *mut c_void,
) {
    assert!((1..=256).contains(&len));
    // SAFETY: the library lends that many messages during the call.
    let messages = unsafe { std::slice::from_raw_parts(messages, len) };
    messages.iter().for_each(read_message);
    act(node, script_of(context));
    messages.iter().for_each(read_message);
    script_of(context);
}

pub(super) unsafe extern "C" fn on_event(
    node: *mut distflow_node,
    event: *const distflow_event,
    context: *mut c_void,
) {
    act(node, script_of(context));
    // SAFETY: the library lends the event during the call.
    read_event(unsafe { &*event });
    script_of(context);
}

pub(super) unsafe extern "C" fn on_pmd_event(
    pmd: *mut distflow_pmd,
    event: *const distflow_event,
    context: *mut c_void,
) {
    // SAFETY: the library lends the event during the call.
    read_event(unsafe { &*event });
    let script = script_of(context);
    if script & 1 != 0 {
        let status = distflow_pmd_close(pmd, -1);
        assert!(status == DISTFLOW_REENTRANT_CALL || status == DISTFLOW_INVALID_HANDLE);
    }
    if script & 128 != 0 {
        distflow_pmd_free(pmd);
    }
    script_of(context);
}

pub(super) unsafe extern "C" fn on_record(
    record: *const distflow_log_record,
    context: *mut c_void,
) {
    script_of(context);
    // SAFETY: the library lends the record during the call.
    let record = unsafe { &*record };
    [&record.target, &record.message, &record.fields]
        .into_iter()
        .for_each(read_text);
}
