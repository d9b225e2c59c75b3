//! As many as allowed, and one more.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use distflow_core::pmd::{Pmd, PmdOptions};
use distflow_tests::{Child, LIMIT, OriginalClient, distflow_program, wait_until};

use crate::options;

#[test]
fn connections_beyond_the_limit_are_closed_and_the_others_served() {
    let pmd = Pmd::start(PmdOptions {
        connections_max: 5,
        ..options()
    })
    .unwrap();
    let mut clients: Vec<_> = (0..5)
        .map(|_| OriginalClient::connect(pmd.port()))
        .collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.register(&format!("n{n}"), "", 1);
    }
    for _ in 0..20 {
        refused(pmd.port());
    }
    for client in &mut clients {
        assert_eq!(client.ids().len(), 5);
    }
    clients.pop();
    assert!(wait_until(LIMIT, || clients[0].ids().len() == 4));
    let mut new = OriginalClient::connect(pmd.port());
    new.register("new", "", 1);
    refused(pmd.port());
}

/// A connection for which there is no room is told so and closed.
fn refused(port: u16) {
    let mut client = OriginalClient::connect(port);
    let text = client.frame().unwrap();
    assert!(
        text.contains("no room for another connection: 5 are open"),
        "{text}"
    );
    client.expect_end();
}

#[test]
fn nodes_beyond_the_limit_are_refused() {
    let pmd = Pmd::start(PmdOptions {
        nodes_max: 3,
        ..options()
    })
    .unwrap();
    let mut watcher = OriginalClient::connect(pmd.port());
    watcher.watch();
    let mut a = OriginalClient::connect(pmd.port());
    for n in 0..3 {
        a.register(&format!("n{n}"), "", 1);
    }
    let mut b = OriginalClient::connect(pmd.port());
    assert_eq!(
        b.register_refused("x", "x", 1),
        "the PMD is full: 3 nodes are registered"
    );
    // Who is registered may register again.
    a.register("n1", "renamed", 2);
    assert_eq!(b.resolve("x"), None);
    a.call("unregister", r#"{"nodeId":"n0"}"#);
    b.register("x", "x", 1);
    assert_eq!(b.ids(), ["n1", "n2", "x"]);
    assert!(
        watcher
            .changes()
            .iter()
            .filter(|change| change.ends_with(" x"))
            .count()
            == 1
    );
}

#[test]
fn nodes_of_one_connection_beyond_the_limit_are_refused() {
    let pmd = Pmd::start(PmdOptions {
        nodes_per_connection_max: 2,
        ..options()
    })
    .unwrap();
    let mut a = OriginalClient::connect(pmd.port());
    a.register("1", "", 1);
    a.register("2", "", 1);
    let text = a.register_refused("3", "", 1);
    assert_eq!(text, "one connection may register at most 2 nodes");
    a.register("2", "", 1);
    let mut b = OriginalClient::connect(pmd.port());
    b.register("3", "", 1);
    a.call("unregister", r#"{"nodeId":"1"}"#);
    a.register("1", "", 1);
    assert_eq!(a.ids(), ["2", "3", "1"]);
    // A reconnect brings its nodes along, one by one, and has the same limit.
    b.register("1", "", 1);
    assert_eq!(b.register_refused("4", "", 1), text);
    a.register("4", "", 1);
    drop(b);
    assert!(wait_until(LIMIT, || a.ids() == ["2", "4"]));
}

/// `distflow pmd start` with so many file descriptors at most.
fn daemon_with_files(files_max: u64) -> (Child, u16) {
    let mut command = Command::new(distflow_program());
    command.args(["pmd", "start", "--port", "0"]);
    let limit = libc::rlimit {
        rlim_cur: files_max,
        rlim_max: files_max,
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
fn without_file_descriptors_the_connected_are_served_and_the_pmd_recovers() {
    const FILES: u64 = 48;
    const CLIENTS: usize = 100;
    let (daemon, port) = daemon_with_files(FILES);
    let mut first = OriginalClient::connect(port);
    first.register("first", "", 1);
    first.watch();
    let mut clients: Vec<_> = (0..CLIENTS)
        .map(|_| OriginalClient::connect(port))
        .collect();
    // Connections are taken in order; as many as there is room for.
    clients[0].call_text("list", "{}");
    let said = clients[CLIENTS - 1].frame().unwrap();
    assert!(
        said.contains("this process may have 48 descriptors"),
        "{said}"
    );
    clients[CLIENTS - 1].expect_end();
    // While it is full, it neither spins nor neglects those it has.
    const WINDOW: Duration = Duration::from_millis(1_500);
    let (started, used) = (Instant::now(), daemon.cpu_time());
    let mut calls = 0;
    let done = wait_until(LIMIT, || {
        assert_eq!(first.ids(), ["first"]);
        calls += 1;
        started.elapsed() > WINDOW && calls > 50
    });
    assert!(done, "{calls} answers");
    let used = daemon.cpu_time() - used;
    assert!(
        used * 10 < started.elapsed() * 6,
        "{used:?} of {:?}",
        started.elapsed()
    );
    // Room again.
    drop(clients);
    let has_room = || {
        let mut client = OriginalClient::connect(port);
        client
            .call_text("list", "{}")
            .contains(r#""nodeId":"first""#)
    };
    assert!(wait_until(LIMIT, has_room));
    OriginalClient::connect(port).register("new", "", 1);
    assert_eq!(first.change(), "peer:join new");
}
