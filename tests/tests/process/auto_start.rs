//! Auto-start: exactly one PMD, ready when it should be, gone when it should be.

use std::net::TcpListener;
use std::time::Duration;

use distflow_core::{ErrorKind, Launcher, Node, NodeOptions, PmdClient};
use distflow_tests::{Child, LIMIT, distflow_program, free_port, wait_until};

use crate::nodes::{DaemonGuard, NodeProcess, daemons, distflow};

#[test]
fn fifty_processes_at_once_get_one_pmd() {
    let port = free_port();
    let _guard = DaemonGuard(port);
    let children: Vec<Child> = (0..50)
        .map(|i| NodeProcess::spawn(port, &format!("n{i}"), &[]))
        .collect();
    let nodes: Vec<NodeProcess> = children.into_iter().map(NodeProcess::started).collect();
    let listed = PmdClient::connect("localhost", port).unwrap().list(None);
    assert_eq!(listed.unwrap().len(), nodes.len());
    // Those who lost the race for the port have ended or are about to.
    assert!(wait_until(LIMIT, || daemons(port).len() == 1));
}

#[test]
fn an_auto_started_pmd_survives_its_parent_and_ends_without_nodes() {
    let port = free_port();
    let _guard = DaemonGuard(port);
    let options = NodeOptions {
        alias: Some("first".into()),
        pmd_port: port,
        launcher: Some(Launcher::new(vec![distflow_program().into()]).unwrap()),
        pmd_auto_shutdown_ms: 5_000,
        ..NodeOptions::default()
    };
    let first = Node::start_blocking(options).unwrap();
    let mut second = NodeProcess::start(port, "second", &[]);
    first.shutdown_blocking().unwrap();
    assert_eq!(second.event("peer:leave")["peer"]["alias"], "first");
    assert_eq!(daemons(port).len(), 1);
    second.child.kill();
    assert!(wait_until(LIMIT, || daemons(port).is_empty()));
    let error = PmdClient::connect("localhost", port).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PmdUnavailable);
}

fn start_on(port: u16) -> ErrorKind {
    Node::builder()
        .pmd_port(port)
        .with(|options| options.start_timeout_ms = LIMIT.as_millis() as u64)
        .start_blocking()
        .unwrap_err()
        .kind()
}

#[test]
fn a_stranger_that_hangs_up_is_no_pmd() {
    // Erlang's epmd closes a connection whose first bytes it does not understand.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    assert_eq!(start_on(port), ErrorKind::NotPmd);
    let error = PmdClient::connect("localhost", port).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotPmd);
    assert!(error.to_string().contains("epmd"), "{error}");
}

#[test]
fn a_stranger_that_talks_otherwise_is_no_pmd() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = std::io::Write::write_all(&mut &stream, b"SSH-2.0-OpenSSH_9.2p1\r\n");
            std::mem::forget(stream);
        }
    });
    assert_eq!(start_on(port), ErrorKind::NotPmd);
}

#[test]
fn a_stranger_that_says_nothing_is_no_pmd() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // The kernel accepts; nobody ever reads. Had the start timeout ended this, the kind would
    // be another one.
    assert_eq!(start_on(port), ErrorKind::NotPmd);
    let error = PmdClient::connect("localhost", port).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotPmd);
    assert!(error.to_string().contains("does not answer"), "{error}");
    drop(listener);
}

#[test]
fn a_launcher_that_fails_is_named() {
    let error = Node::builder()
        .pmd_port(free_port())
        .with(|options| {
            options.launcher = Some(Launcher::new(vec!["/nonexistent/distflow".into()]).unwrap());
        })
        .start_blocking()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PmdLaunchFailed);
    assert!(
        error.to_string().contains("/nonexistent/distflow"),
        "{error}"
    );
}

#[test]
fn a_launcher_that_starts_nothing_is_named() {
    let error = Node::builder()
        .pmd_port(free_port())
        .with(|options| options.launcher = Some(Launcher::new(vec!["true".into()]).unwrap()))
        .start_blocking()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PmdLaunchFailed);
    assert!(
        error.to_string().contains("'true pmd start --daemon'"),
        "{error}"
    );
}

#[test]
fn without_auto_start_a_missing_pmd_is_an_error() {
    let error = Node::builder()
        .pmd_port(free_port())
        .auto_start(false)
        .with(|options| options.start_timeout_ms = 300)
        .start_blocking()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PmdUnavailable);
}

#[test]
fn a_daemon_detaches_and_says_when_it_is_ready() {
    let port = free_port();
    let _guard = DaemonGuard(port);
    let folder = distflow_tests::TempFolder::new();
    let log = folder.path().join("pmd.log");
    let output = distflow(&["pmd", "start", "--daemon", "--port", &port.to_string()])
        .arg("--log-file")
        .arg(&log)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    PmdClient::connect("localhost", port).unwrap();
    let pid = daemons(port)[0];
    // SAFETY: getsid only asks.
    let session = unsafe { libc::getsid(pid) };
    assert_eq!(session, pid, "it has a session of its own");
    PmdClient::connect("localhost", port)
        .unwrap()
        .shutdown()
        .unwrap();
    assert!(wait_until(LIMIT, || daemons(port).is_empty()));
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(
        text.contains("Shutdown requested, stopping PMD..."),
        "{text}"
    );
    assert!(text.contains("PMD stopped"), "{text}");
}

#[test]
fn a_daemon_beside_a_stranger_fails_and_names_the_port() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let mut daemon = distflow(&["pmd", "start", "--daemon", "--port", &port.to_string()]);
    let output = daemon.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains(&port.to_string()), "{text}");
    assert!(daemons(port).is_empty());
}

#[test]
fn nodes_race_for_the_launch_of_a_lost_pmd_and_one_wins() {
    let port = free_port();
    let _guard = DaemonGuard(port);
    let nodes: Vec<NodeProcess> = (0..5)
        .map(|i| NodeProcess::start(port, &format!("n{i}"), &[]))
        .collect();
    let pid = daemons(port)[0];
    // SAFETY: a signal to the daemon that the nodes started.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    for node in &nodes {
        node.event("pmd:restored");
    }
    assert!(wait_until(LIMIT, || {
        let found = daemons(port);
        found.len() == 1 && found[0] != pid
    }));
    let mut client = PmdClient::connect("localhost", port).unwrap();
    assert!(wait_until(Duration::from_secs(10), || {
        client.list(None).unwrap().len() == nodes.len()
    }));
    let ids: Vec<String> = client
        .list(None)
        .unwrap()
        .into_iter()
        .map(|n| n.node_id)
        .collect();
    assert!(nodes.iter().all(|node| ids.contains(&node.id)));
}
