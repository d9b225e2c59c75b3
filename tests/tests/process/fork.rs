//! `fork`: the child's inherited node says so, and the parent's death is seen all the same.

use std::process::Command;

use distflow_core::{PmdClient, PmdEvent};
use distflow_tests::{Child, LIMIT};

use crate::nodes::pmd;

#[test]
fn a_forked_child_gets_a_clear_error_and_hides_no_death() {
    let (_pmd, port) = pmd(&[]);
    let mut watcher = PmdClient::connect("localhost", port).unwrap();
    watcher.watch().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_forking_node"));
    command.arg(port.to_string());
    let parent = Child::spawn(command);
    let id = parent.line_after("started ");
    for call in ["send", "try_send", "discover", "recv", "shutdown"] {
        assert_eq!(parent.line_after(&format!("{call} ")), "forked");
    }
    assert_eq!(parent.line_after("peers "), "0");
    assert_eq!(parent.line_after("own "), "of-the-child");
    let mut next = || watcher.next_event(LIMIT).unwrap();
    // What the child did took nothing from the parent's registration.
    assert!(matches!(next(), Some(PmdEvent::Join(node)) if node.node_id == id));
    assert!(
        matches!(next(), Some(PmdEvent::Join(node)) if node.alias.as_deref() == Some("of-the-child"))
    );
    // The child lives on and has inherited the parent's sockets. (Waiting for the parent would
    // close the input that keeps the child alive.)
    parent.signal(libc::SIGKILL);
    match next() {
        Some(PmdEvent::Leave(node, _)) => assert_eq!(node.node_id, id),
        other => panic!("{other:?}"),
    }
}
