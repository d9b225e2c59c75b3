//! What a node sees of its peers.

use distflow_core::{LeaveCause, NodeEvent};
use distflow_tests::{LIMIT, wait_until};

use crate::{builder, node, pmd};

#[test]
fn joins_and_leaves_are_seen_in_order_with_cause() {
    let pmd = pmd();
    let a = node(&pmd, "a");
    let events = a.events();
    let b = builder(&pmd, "b")
        .meta("{\"zone\":1}")
        .start_blocking()
        .unwrap();
    let c = node(&pmd, "c");
    b.shutdown_blocking().unwrap();
    drop(c);
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(match events.next_timeout(LIMIT).unwrap() {
            NodeEvent::PeerJoin(peer) => {
                if peer.alias.as_deref() == Some("b") {
                    assert_eq!(peer.meta.as_ref().unwrap().get(), "{\"zone\":1}");
                }
                format!("+{}", peer.alias.as_deref().unwrap())
            }
            NodeEvent::PeerLeave(peer, cause) => {
                format!("-{} {}", peer.alias.as_deref().unwrap(), cause.name())
            }
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(seen, ["+b", "+c", "-b unregistered", "-c closed"]);
    assert!(a.peers().is_empty());
}

#[test]
fn peers_and_discover_agree_and_leave_oneself_out() {
    let pmd = pmd();
    let a = node(&pmd, "ring-a");
    let _b = node(&pmd, "ring-b");
    let _c = node(&pmd, "other");
    assert!(wait_until(LIMIT, || a.peers().len() == 2));
    let mut discovered = a.discover_blocking(None).unwrap();
    discovered.sort_by(|x, y| x.node_id.cmp(&y.node_id));
    let peers: Vec<_> = a.peers().iter().map(|peer| (**peer).clone()).collect();
    assert_eq!(discovered, peers);
    let ring = a.discover_blocking(Some("ring-")).unwrap();
    assert_eq!(ring.len(), 1);
    assert_eq!(ring[0].alias.as_deref(), Some("ring-b"));
}

#[test]
fn the_own_leave_is_an_event_at_shutdown() {
    let pmd = pmd();
    let a = node(&pmd, "a");
    let events = a.events();
    a.shutdown_blocking().unwrap();
    match events.next_timeout(LIMIT).unwrap() {
        NodeEvent::PeerLeave(peer, LeaveCause::Unregistered) => assert_eq!(peer.node_id, a.id()),
        other => panic!("{other:?}"),
    }
    assert!(events.next_timeout(LIMIT).is_err());
}

#[test]
fn an_alias_that_moves_is_followed() {
    let pmd = pmd();
    let a = node(&pmd, "a");
    for n in 0..20u64 {
        let b = node(&pmd, "b");
        a.send_blocking("b", &crate::payload(n), Some(LIMIT))
            .unwrap();
        assert_eq!(
            b.recv_timeout(Some(LIMIT))
                .unwrap()
                .payload
                .parse::<u64>()
                .unwrap(),
            n
        );
        b.shutdown_blocking().unwrap();
    }
}

#[test]
fn a_snapshot_then_events_miss_nothing() {
    let pmd = pmd();
    let _early: Vec<_> = (0..10).map(|i| node(&pmd, &format!("early{i}"))).collect();
    let watcher = node(&pmd, "watcher");
    let events = watcher.events();
    let before = watcher.peers().len();
    let late: Vec<_> = (0..10).map(|i| node(&pmd, &format!("late{i}"))).collect();
    let mut joined = 0;
    while before + joined < 20 {
        match events.next_timeout(LIMIT).unwrap() {
            NodeEvent::PeerJoin(_) => joined += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(watcher.peers().len(), 20);
    drop(late);
}
