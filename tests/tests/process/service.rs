//! The PMD as a service: readiness, limits, and beginning again where a node was quicker.

use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;

use distflow_core::{ErrorKind, PmdClient};
use distflow_tests::{Child, LIMIT, OriginalClient, TempFolder, free_port, wait_until};

use crate::nodes::{DaemonGuard, NodeProcess, daemons, distflow};

fn service(port: u16) -> Child {
    let port = port.to_string();
    let start = [
        "pmd",
        "start",
        "--takeover",
        "--auto-shutdown-ms",
        "0",
        "--port",
        &port,
    ];
    let service = Child::spawn(distflow(&start));
    service.line_after("PMD started on port ");
    service
}

/// So often is the service started again; more often with `DISTFLOW_RESTARTS`.
fn restarts() -> usize {
    let given = std::env::var("DISTFLOW_RESTARTS").ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(15)
}

#[test]
fn a_service_begins_again_beside_nodes_that_launch_one_themselves() {
    const NODES: usize = 10;
    let port = free_port();
    let _guard = DaemonGuard(port);
    let mut pmd = service(port);
    let nodes: Vec<NodeProcess> = (0..NODES)
        .map(|n| NodeProcess::start(port, &format!("n{n}"), &[]))
        .collect();
    let mut displaced = 0;
    for restart in 0..restarts() {
        pmd.signal(libc::SIGTERM);
        assert!(pmd.wait(LIMIT).is_some());
        // Now and then the service is the quicker one, now and then a node.
        if restart % 3 > 0 {
            let are_back = || {
                let listed =
                    PmdClient::connect("localhost", port).and_then(|mut pmd| pmd.list(None));
                listed.is_ok_and(|nodes| nodes.len() == NODES)
            };
            assert!(wait_until(LIMIT, are_back));
            displaced += 1;
        }
        pmd = service(port);
        // Those that are on their way back are known already.
        let mut client = PmdClient::connect("localhost", port).unwrap();
        assert_eq!(client.status().unwrap().pid, pmd.pid());
        if restart % 3 > 0 {
            assert_eq!(client.list(None).unwrap().len(), NODES, "restart {restart}");
        }
        assert!(wait_until(LIMIT, || client.list(None).unwrap().len() == NODES));
    }
    assert!(displaced > 0);
    // The last one, too, is one that nodes are registered with, and not only expected by.
    let grace = std::time::Duration::from_millis(distflow_core::limits::WARMING_MS + 2_000);
    std::thread::sleep(grace);
    let mut client = PmdClient::connect("localhost", port).unwrap();
    assert_eq!(client.list(None).unwrap().len(), NODES);
    let mut last = NodeProcess::start(port, "last", &["--no-auto-start"]);
    for node in &nodes {
        // No leave was told before this join, which nodes of the first round see last.
        loop {
            let line = node.next();
            assert_ne!(line["event"], "peer:leave", "{line}");
            if line["event"] == "peer:join" && line["peer"]["alias"] == "last" {
                break;
            }
        }
    }
    last.child.kill();
    assert!(wait_until(LIMIT, || daemons(port).is_empty()));
}

#[test]
fn a_pmd_that_was_started_on_purpose_does_not_give_way() {
    let (_pmd, port) = crate::nodes::pmd(&[]);
    let port = port.to_string();
    let output = distflow(&["pmd", "start", "--takeover", "--port", &port]).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("not brought into being by a node"), "{text}");
}

#[test]
fn whoever_manages_services_is_told_when_it_serves_and_when_it_ends() {
    let folder = TempFolder::new();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(LIMIT)).unwrap();
    let mut command = distflow(&["pmd", "start", "--port", "0"]);
    command.env("NOTIFY_SOCKET", &path);
    let mut pmd = Child::spawn(command);
    let told = || {
        let mut bytes = [0; 256];
        let length = manager.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    };
    assert!(told().starts_with("READY=1\n"));
    pmd.signal(libc::SIGTERM);
    assert_eq!(told(), "STOPPING=1");
    assert!(pmd.wait(LIMIT).is_some());
}

/// A PMD with so many descriptors, softly and at most.
fn pmd_with_files(soft: u64, hard: u64) -> (Child, u16) {
    let mut command = distflow(&["pmd", "start", "--port", "0"]);
    let limit = libc::rlimit {
        rlim_cur: soft,
        rlim_max: hard,
    };
    // SAFETY: setrlimit is async-signal-safe and reads a value the closure owns.
    unsafe {
        command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_NOFILE, &limit) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    let child = Child::spawn(command);
    let port = child.line_after("PMD started on port ").parse().unwrap();
    (child, port)
}

#[test]
fn a_pmd_raises_its_limit_of_descriptors_and_says_so() {
    let (_pmd, port) = pmd_with_files(32, 400);
    let clients: Vec<_> = (0..200)
        .map(|n| {
            let mut client = OriginalClient::connect(port);
            client.register(&format!("n{n}"), "", 1);
            client
        })
        .collect();
    let status = PmdClient::connect("localhost", port)
        .unwrap()
        .status()
        .unwrap();
    assert_eq!(
        (status.descriptors_soft, status.descriptors_hard),
        (400, 400)
    );
    assert_eq!(status.nodes, clients.len() as u64);
    assert!(status.connections_max < 400, "{status:?}");
    let port = port.to_string();
    let said = distflow(&["pmd", "status", "--port", &port])
        .output()
        .unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains("soft limit 400, hard limit 400"), "{said}");
}

#[test]
fn whoever_finds_no_room_is_told_so() {
    let (_pmd, port) = pmd_with_files(64, 64);
    let room = PmdClient::connect("localhost", port)
        .unwrap()
        .status()
        .unwrap();
    let room = room.connections_max as usize;
    let mut clients: Vec<OriginalClient> = Vec::new();
    assert!(wait_until(LIMIT, || {
        clients.push(OriginalClient::connect(port));
        PmdClient::connect("localhost", port).is_err()
    }));
    // The connections that asked may not have been closed yet; these take their places.
    clients.extend((0..4).map(|_| OriginalClient::connect(port)));
    assert!(clients.len() >= room);
    let error = PmdClient::connect("localhost", port).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    for says in ["no room", "descriptors", "64"] {
        assert!(error.to_string().contains(says), "{error}");
    }
    let node = distflow_core::Node::builder()
        .pmd_port(port)
        .auto_start(false)
        .with(|options| options.start_timeout_ms = 500)
        .start_blocking();
    let error = node.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(error.to_string().contains("no room"), "{error}");
    clients.truncate(room / 2);
    assert!(wait_until(LIMIT, || PmdClient::connect("localhost", port).is_ok()));
}

#[test]
fn the_unit_on_the_page_for_operators_starts_a_pmd() {
    let page = distflow_tests::project_folder().join("docs/operations.md");
    let page = std::fs::read_to_string(page).unwrap();
    let start = page
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="));
    let mut words = start.unwrap().split_whitespace();
    assert!(words.next().unwrap().ends_with("/distflow"));
    let mut arguments: Vec<&str> = words.collect();
    let port = free_port().to_string();
    arguments.extend(["--port", &port]);
    let mut pmd = Child::spawn(distflow(&arguments));
    assert_eq!(pmd.line_after("PMD started on port "), port);
    pmd.signal(libc::SIGTERM);
    assert!(pmd.wait(LIMIT).unwrap().success());
}
