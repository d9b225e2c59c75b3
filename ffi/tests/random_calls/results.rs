//! Reads all of what a call gave.

use super::*;

/// Reads every byte of a text, and the NUL behind it.
pub(super) fn read_text(text: &distflow_bytes) {
    assert!(!text.data.is_null());
    // SAFETY: the library promises a NUL byte behind the text.
    let bytes = unsafe { std::slice::from_raw_parts(text.data.cast::<u8>(), text.len + 1) };
    assert_eq!(bytes.last(), Some(&0));
    assert!(std::str::from_utf8(bytes).is_ok());
}

pub(super) fn read_peer(peer: &distflow_peer) {
    let texts = [
        &peer.node_id,
        &peer.alias,
        &peer.host,
        &peer.capabilities,
        &peer.meta,
    ];
    texts.into_iter().for_each(read_text);
    assert_eq!(peer.reserved, [0; 11]);
}

pub(super) fn read_event(event: &distflow_event) {
    read_peer(&event.peer);
    [&event.cause, &event.target, &event.text]
        .into_iter()
        .for_each(read_text);
}

pub(super) fn read_message(message: &distflow_message) {
    read_text(&message.from);
    read_text(&message.payload);
}

pub(super) fn read_peers(peers: &distflow_peers) {
    if peers.len > 0 {
        // SAFETY: the library gives that many.
        let items = unsafe { std::slice::from_raw_parts(peers.items, peers.len) };
        items.iter().for_each(read_peer);
    }
}

pub(super) fn read_messages(messages: &distflow_messages) {
    assert!(messages.len > 0);
    // SAFETY: the library gives that many.
    let items = unsafe { std::slice::from_raw_parts(messages.items, messages.len) };
    items.iter().for_each(read_message);
}
