//! `distflow session` and `distflow broker`, and what they say when something is wrong.

use std::process::{Command, Output};

use distflow_tests::{LIMIT, distflow_program, free_port, wait_until};

use crate::brokers::{Broker, Instance, Kind, OfBroker, block_on};

fn distflow(arguments: &[&str]) -> Output {
    Command::new(distflow_program())
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_list_shows_sessions_as_text_and_as_json() {
    let broker = Broker::start(Kind::InTheBox);
    let url = broker.url();
    let none = distflow(&["session", "list", "--broker", &url, "--wait-ms", "300"]);
    assert_eq!(text(&none.stdout), "No sessions available\n");
    let one = Instance::start(
        &broker,
        &["create", "--id", "s-1", "--model", "Forest", "--max", "2"],
        &[],
    );
    one.is_in();
    // It waits until all are there.
    let mut shown = String::new();
    let is_shown = wait_until(LIMIT, || {
        let list = distflow(&["session", "list", "--broker", &url]);
        shown = text(&list.stdout);
        shown == "s-1  Forest (1/1-2 instances (Ready))\n"
    });
    assert!(is_shown, "{shown}");
    let list = distflow(&[
        "session",
        "list",
        "--json",
        "--broker",
        &url,
        "--wait-ms",
        "5000",
    ]);
    let sessions: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    assert_eq!(sessions[0]["sessionId"], "s-1");
    assert_eq!(sessions[0]["state"], "open");
}

#[test]
fn what_is_typed_is_done() {
    let broker = Broker::start(Kind::InTheBox);
    let url = broker.url();
    let arguments = ["create", "--id", "a b.c", "--max", "2", "--model", "Forest"];
    let mut one = Instance::start(&broker, &arguments, &[]);
    one.is_in();
    let mut two = Instance::start(&broker, &["join", "a b.c"], &[]);
    two.is_in();
    two.child.write_line("register Player 1/x");
    let registered = one.event("registered");
    assert_eq!(registered["event"]["player"], "Player 1/x");
    two.child.write_line("reserve Player 1/x");
    one.event("reserved");
    two.child.write_line("start");
    let error = two.until(|line| line["event"] == "error");
    assert!(
        error["text"]
            .as_str()
            .unwrap()
            .contains("only the session's creator")
    );
    one.child.write_line("dance");
    let error = one.until(|line| line["event"] == "error");
    assert!(
        error["text"]
            .as_str()
            .unwrap()
            .contains("no command \"dance\": start")
    );
    one.child.write_line("start 1");
    two.event("game_started");
    let list = distflow(&["session", "list", "--broker", &url]);
    assert_eq!(
        text(&list.stdout),
        "a b.c  Forest (2/2 instances, in progress)\n"
    );
    one.child.write_line("send next.turn a  b");
    let game = two.event("game");
    assert_eq!(game["event"]["name"], "next.turn");
    assert_eq!(game["event"]["payload"], "a  b");
    two.child.write_line("leave");
    one.event("member_left");
    assert!(two.child.wait(LIMIT).unwrap().success());
    one.child.write_line("close");
    one.event("ended");
    one.child.write_line("leave");
    assert!(one.child.wait(LIMIT).unwrap().success());
}

#[test]
fn a_session_of_one_starts_by_itself() {
    let broker = Broker::start(Kind::InTheBox);
    let arguments = ["create", "--min", "1", "--max", "1", "--auto-start", "1"];
    let one = Instance::start(&broker, &arguments, &[]);
    one.is_in();
    assert_eq!(one.event("game_started")["event"]["kind"], "auto");
}

#[test]
fn a_signal_leaves_the_session() {
    let broker = Broker::start(Kind::InTheBox);
    let one = Instance::start(&broker, &["create", "--id", "s-1"], &[]);
    one.is_in();
    let mut two = Instance::start(&broker, &["join", "s-1"], &[]);
    two.is_in();
    one.until(|line| line["members"] == 2);
    two.child.signal(libc::SIGTERM);
    two.event("ended");
    one.event("member_left");
    assert_eq!(
        two.child.wait(distflow_tests::LIMIT).unwrap().code(),
        Some(0)
    );
}

#[test]
fn what_is_wrong_is_said() {
    let broker = Broker::start(Kind::InTheBox);
    let url = broker.url();
    let closed = "mqtt://127.0.0.1:1";
    for (arguments, words) in [
        (
            vec!["session", "list", "--broker", "http://x"],
            "begins with mqtt",
        ),
        (
            vec!["session", "list", "--broker", "mqtt://x:0"],
            "1 to 65535",
        ),
        (
            vec!["session", "join", "--broker", &url, "nowhere"],
            "no session of this id",
        ),
        (vec!["session", "join", "--broker", &url, "a/b"], "'/'"),
        (
            vec!["session", "create", "--broker", &url, "--max", "0"],
            "players_max must be 1 to 1024",
        ),
        (
            vec!["session", "create", "--broker", &url, "--min", "5"],
            "players_min must be 1 to players_max",
        ),
        (
            vec!["session", "create", "--broker", &url, "--seed", "0"],
            "seed must be 1 to 1000000",
        ),
        (
            vec!["session", "list", "--broker", closed],
            "not reached in time",
        ),
        (
            vec![
                "session",
                "list",
                "--broker",
                &url,
                "--password-file",
                "/nowhere",
            ],
            "password file",
        ),
        (
            vec!["session", "list", "--broker", &url, "--ca-file", "ca.pem"],
            "without TLS",
        ),
        (
            vec!["session", "list", "--broker", &url, "--cert-file", "c.pem"],
            "--key-file",
        ),
        (vec!["session", "play"], "Unknown session command: play"),
        (vec!["broker", "start", "--listen", "0.0.0.0"], "--insecure"),
        (
            vec!["broker", "start", "--mqtt-port", "x"],
            "invalid value 'x'",
        ),
    ] {
        let output = distflow(&arguments);
        // docs/operations.md
        let code = match words {
            "no session of this id" | "password file" | "Unknown session command: play" => 1,
            "not reached in time" => 6,
            _ => 2,
        };
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        let said = text(&output.stderr);
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    let free = free_port().to_string();
    let twice = distflow(&[
        "broker",
        "start",
        "--mqtt-port",
        &free,
        "--mqtt5-port",
        &free,
    ]);
    assert_eq!(twice.status.code(), Some(3));
    assert!(text(&twice.stderr).contains(&free));
    let port = broker.port.to_string();
    let taken = distflow(&["broker", "start", "--mqtt-port", &port]);
    assert_eq!(taken.status.code(), Some(3));
    assert!(
        text(&taken.stderr).contains(&port),
        "{}",
        text(&taken.stderr)
    );
    let json = distflow(&["session", "join", "--json", "--broker", &url, "nowhere"]);
    let line: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        (&line["event"], &line["code"]),
        (&"error".into(), &"refused".into())
    );
}

#[test]
fn the_demo_does_all_of_it() {
    let output = distflow(&["session", "demo"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).ends_with("all of it happened\n"));
}

#[test]
fn a_signal_ends_a_command_that_still_connects() {
    // Nobody ever answers there.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mqtt://{}", silent.local_addr().unwrap());
    for arguments in [
        &["session", "create", "--broker", &url][..],
        &["session", "join", "s", "--broker", &url],
        &["session", "list", "--watch", "--broker", &url],
    ] {
        let mut command = Command::new(distflow_program());
        let child = command
            .args(arguments)
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // It has connected, so it waits for signals, too.
        let (_connection, _) = silent.accept().unwrap();
        // SAFETY: a child that has not been waited for.
        assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGINT) }, 0);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let said = text(&output.stderr);
        assert!(
            said.contains("stopped before it began"),
            "{arguments:?}: {said}"
        );
    }
}

#[test]
fn a_session_whose_output_nobody_reads_goes_on() {
    let broker = Broker::start(Kind::InTheBox);
    let mut command = Command::new(distflow_program());
    command.args(["session", "create", "--json", "--id", "s-1", "--max", "5"]);
    command.args(["--model", "Forest", "--broker", &broker.url()]);
    command.stdin(std::process::Stdio::null());
    let (out, to_out) = std::io::pipe().unwrap();
    let descriptor = std::os::fd::AsRawFd::as_raw_fd(&to_out);
    // SAFETY: the descriptor is open, and the call changes its size only.
    let size = unsafe { libc::fcntl(descriptor, libc::F_SETPIPE_SZ, 4096) };
    assert!(size > 0);
    command.stdout(to_out);
    let mut creator = command.spawn().unwrap();
    drop(command);
    // More than its pipe holds is said of who joins and what they send.
    let sessions = broker.sessions();
    block_on(async {
        let member = loop {
            if let Ok(member) = sessions.join("s-1").await {
                break member;
            }
        };
        for _ in 0..40 {
            member.publish("note", vec![b'x'; 1_000]).await.unwrap();
        }
        for _ in 0..3 {
            let other = sessions.join("s-1").await.unwrap();
            other.leave().await;
        }
        member.leave().await;
    });
    // SAFETY: the process is a child of this one that was not waited for.
    unsafe { libc::kill(creator.id() as i32, libc::SIGTERM) };
    let mut status = None;
    assert!(wait_until(LIMIT, || {
        status = creator.try_wait().unwrap();
        status.is_some()
    }));
    // It says that not all was printed.
    assert_eq!(status.unwrap().code(), Some(1));
    drop(out);
    block_on(async {
        let kept = broker.retained("s-1").await;
        assert!(kept.is_empty(), "{kept:?}");
    });
}
