//! The command line: the originals' output and exit codes to the letter, and what is new.

use std::process::Output;
use std::time::{Duration, Instant};

use distflow_tests::{Child, FakePmd, LIMIT, OriginalClient, free_port, wait_until};

use crate::nodes::{NodeProcess, distflow, pmd};

fn run(arguments: &[&str]) -> Output {
    distflow(arguments).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn output_is_that_of_the_originals() {
    let (_pmd, port) = pmd(&[]);
    let port = port.to_string();
    let empty = run(&["pmd", "list", "--port", &port]);
    assert_eq!(out(&empty), "Registered nodes:\n  (none)\n");

    let mut client = OriginalClient::connect(port.parse().unwrap());
    client.register("0123456789abcdef", "svc", 40_001);
    let status = run(&["pmd", "status", "--port", &port]);
    // More follows.
    let start = format!("PMD Status:\n  Port: {port}\n  Registered nodes: 1\n");
    assert!(out(&status).starts_with(&start), "{status:?}");
    // The option may stand anywhere.
    let list = out(&run(&["--port", &port, "pmd", "list"]));
    let (start, time) = list.split_once("    Last heartbeat: ").unwrap();
    assert_eq!(
        start,
        "Registered nodes:\n  - svc\n    Node ID: 0123456789abcdef\n    Address: localhost:40001\n"
    );
    assert!(
        time.len() == "2026-11-20T10:28:55.529Z\n".len() && time.ends_with("Z\n"),
        "{time}"
    );
    let resolved = run(&["pmd", "resolve", "svc", "--port", &port]);
    assert_eq!(
        out(&resolved),
        "Resolved 'svc':\n  Node ID: 0123456789abcdef\n  Address: localhost:40001\n"
    );
    let killed = run(&["pmd", "kill", "--port", &port]);
    assert_eq!(out(&killed), "PMD shutdown command sent successfully\n");
    assert_eq!(killed.status.code(), Some(0));
    // Another can start right away.
    drop(std::net::TcpListener::bind(format!("127.0.0.1:{port}")).unwrap());
}

#[test]
fn failures_are_those_of_the_originals() {
    let (_pmd, port) = pmd(&[]);
    let (port, none) = (port.to_string(), free_port().to_string());
    for (arguments, says) in [
        (
            vec!["pmd", "resolve", "x", "--port", &port],
            "Alias 'x' not found\n",
        ),
        (
            vec!["pmd", "resolve"],
            "Usage: distflow pmd resolve <alias>\n",
        ),
        (
            vec!["pmd", "status", "--port", &none],
            "PMD not running or unreachable\n",
        ),
        (
            vec!["pmd", "frobnicate"],
            "Unknown pmd command: frobnicate\n",
        ),
        (
            vec!["node", "frobnicate"],
            "Unknown node command: frobnicate\n",
        ),
        (vec!["frobnicate"], "Unknown command: frobnicate\n"),
    ] {
        let output = run(&arguments);
        assert_eq!(err(&output), says, "{arguments:?}");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    }
    for (command, doing) in [("list", "list nodes"), ("kill", "shutdown PMD")] {
        let output = run(&["pmd", command, "--port", &none]);
        assert!(
            err(&output).starts_with(&format!("Failed to {doing}: ")),
            "{output:?}"
        );
        assert_eq!(output.status.code(), Some(1));
    }
    let output = run(&["pmd", "resolve", "x", "--port", &none]);
    assert!(
        err(&output).starts_with("Failed to resolve alias: "),
        "{output:?}"
    );
    let output = run(&[]);
    assert!(out(&output).contains("Usage:"), "{output:?}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn wrong_arguments_are_named() {
    for (arguments, says) in [
        (vec!["pmd", "status", "--port", "70000"], "70000"),
        (vec!["pmd", "status", "--prot", "1"], "--port"),
        (vec!["node", "send", "x", "{nope"], "Invalid JSON"),
        (
            vec!["node", "run", "--meta", "[1]"],
            "meta must be a JSON object",
        ),
        (
            vec!["pmd", "start", "--host", "0.0.0.0", "--port", "0"],
            "--insecure",
        ),
    ] {
        let output = run(&arguments);
        // Starting a PMD ends as the originals' did.
        let code = if arguments[1] == "start" { 1 } else { 2 };
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(err(&output).contains(says), "{arguments:?}: {output:?}");
    }
}

#[test]
fn it_speaks_to_an_original_pmd() {
    let pmd = FakePmd::start();
    let mut client = OriginalClient::connect(pmd.port());
    client.register("aa", "svc", 40_001);
    let port = pmd.port().to_string();
    let list = out(&run(&["pmd", "list", "--port", &port]));
    assert!(list.contains("  - svc\n"), "{list}");
    let filtered = out(&run(&["pmd", "list", "--prefix", "x", "--port", &port]));
    assert!(filtered.contains("(none)"), "{filtered}");
    let resolved = out(&run(&["pmd", "resolve", "svc", "--port", &port]));
    assert!(resolved.contains("Node ID: aa"), "{resolved}");
}

#[test]
fn json_output_parses() {
    let (_pmd, port) = pmd(&[]);
    let _node = NodeProcess::start(port, "j", &["--no-auto-start", "--meta", "{\"zone\":7}"]);
    let port = port.to_string();
    let json = |arguments: &[&str]| -> serde_json::Value {
        let output = distflow(arguments)
            .args(["--json", "--port", &port])
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    };
    assert_eq!(json(&["pmd", "status"])["nodes"], 1);
    assert_eq!(json(&["pmd", "list"])[0]["alias"], "j");
    assert_eq!(json(&["pmd", "resolve", "j"])["meta"]["zone"], 7);
    assert_eq!(json(&["node", "info", "j"])["meta"]["zone"], 7);
    assert_eq!(json(&["node", "info"])["nodes"], 1);
}

#[test]
fn list_watch_follows_joins_and_leaves() {
    let (_pmd, port) = pmd(&[]);
    let mut command = distflow(&["pmd", "list", "--watch", "--prefix", "w"]);
    let watch = Child::spawn({
        command.args(["--port", &port.to_string()]);
        command
    });
    assert_eq!(watch.line(), "Registered nodes:");
    assert_eq!(watch.line(), "  (none)");
    let _other = NodeProcess::start(port, "other", &["--no-auto-start"]);
    let mut node = NodeProcess::start(port, "w1", &["--no-auto-start"]);
    assert!(watch.line().starts_with("  + w1 "));
    node.child.kill();
    assert!(watch.line().starts_with("  - w1 "));
}

#[test]
fn a_node_process_sends_and_receives_lines() {
    let (_pmd, port) = pmd(&[]);
    let receiver = NodeProcess::start(port, "receiver", &["--no-auto-start"]);
    let mut sender = NodeProcess::start(port, "sender", &["--no-auto-start"]);
    sender.send("receiver", "{\"a\":[1,2.50,\"é\"]}");
    let message = receiver.child.line_after("{\"event\":\"message\",");
    // The payload is passed on as it was written.
    assert!(
        message.contains("\"payload\":{\"a\":[1,2.50,\"é\"]}"),
        "{message}"
    );

    sender.send("nobody", "1");
    assert_eq!(
        sender.event("error")["error"],
        "Failed to resolve target: nobody"
    );
    sender.child.write_line("not json");
    assert_eq!(sender.event("error")["code"], "invalid_message");

    let port = port.to_string();
    // It waits for a PMD for a second only, which a busy machine may need for less.
    let sent = || run(&["node", "send", "receiver", "[true]", "--port", &port]);
    assert!(wait_until(LIMIT, || sent().status.code() == Some(0)));
    assert_eq!(receiver.event("message")["payload"][0], true);
    let mut said = String::new();
    let is_told = wait_until(LIMIT, || {
        let failed = run(&["node", "send", "nobody", "1", "--port", &port]);
        said = err(&failed);
        // 4, unless the busy machine had no time for the PMD.
        assert_ne!(failed.status.code(), Some(0));
        said.contains("Failed to resolve target: nobody")
    });
    assert!(is_told, "{said}");
}

#[test]
fn a_node_ends_with_its_input_when_asked_to() {
    let (_pmd, port) = pmd(&[]);
    let flags = ["--no-auto-start", "--until-eof"];
    let mut node = NodeProcess::start(port, "brief", &flags);
    node.child.close_stdin();
    let status = node.child.wait(LIMIT).expect("the node goes on");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_terminated_pmd_ends_whoever_is_connected() {
    let (mut pmd, port) = pmd(&[]);
    let mut client = OriginalClient::connect(port);
    client.register("a", "a", 1);
    pmd.signal(libc::SIGTERM);
    let told = Instant::now();
    assert_eq!(pmd.line_after("Shutting"), " down PMD...");
    assert_eq!(pmd.line(), "PMD stopped");
    let status = pmd.wait(LIMIT).expect("the PMD goes on");
    assert_eq!(status.code(), Some(0));
    // Ten times the promise.
    assert!(
        told.elapsed() < Duration::from_secs(20),
        "{:?}",
        told.elapsed()
    );
    client.expect_end();
}

#[test]
fn a_second_pmd_on_the_port_fails_and_names_it() {
    let (_pmd, port) = pmd(&[]);
    let port = port.to_string();
    let output = run(&["pmd", "start", "--port", &port]);
    assert_eq!(output.status.code(), Some(1));
    let text = err(&output);
    assert!(
        text.starts_with("Failed to start PMD: ") && text.contains(&port),
        "{text}"
    );
}

#[test]
fn the_demo_does_all_it_says() {
    let output = run(&["demo", "--nodes", "3", "--messages", "5"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        out(&output).contains("30 messages arrived in order"),
        "{output:?}"
    );
}

#[test]
fn completions_and_version() {
    assert!(out(&run(&["completions", "bash"])).contains("distflow"));
    assert_eq!(
        out(&run(&["--version"])),
        format!("distflow {}\n", distflow_core::VERSION)
    );
}

#[test]
fn a_closed_pipe_is_no_panic() {
    let (_pmd, port) = pmd(&[]);
    let mut command = distflow(&["pmd", "list", "--port", &port.to_string()]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command.stdout(writer).output().unwrap();
    assert!(!err(&output).contains("panicked"), "{output:?}");
}

#[test]
fn a_node_whose_output_nobody_reads_ends() {
    let (_pmd, port) = pmd(&[]);
    let mut command = distflow(&["node", "run", "--alias", "unread", "--no-auto-start"]);
    command.args(["--port", &port.to_string()]);
    let mut child = command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut first).unwrap();
    assert!(first.contains("started"), "{first}");
    drop(out);
    let port = port.to_string();
    // The sender's join may already be the line that finds nobody; then the message finds no node.
    let mut ended = None;
    assert!(wait_until(LIMIT, || {
        run(&["node", "send", "unread", "1", "--port", &port]);
        ended = child.try_wait().unwrap();
        ended.is_some()
    }));
    assert_eq!(ended.unwrap().code(), Some(1));
}

#[test]
fn a_node_that_is_stuck_in_printing_ends_on_a_signal() {
    let (_pmd, port) = pmd(&[]);
    let mut command = distflow(&["node", "run", "--alias", "stuck", "--no-auto-start"]);
    command.args(["--port", &port.to_string()]);
    let mut child = command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    std::io::BufRead::read_line(&mut out, &mut first).unwrap();
    // More than a pipe holds; the sender feels it because the node lets senders wait.
    let builder = distflow_core::Node::builder().pmd_port(port);
    let sender = builder.auto_start(false).start_blocking().unwrap();
    let text = distflow_core::Payload::from_value(&"x".repeat(50_000)).unwrap();
    for _ in 0..10 {
        sender.send_blocking("stuck", &text, Some(LIMIT)).unwrap();
    }
    // SAFETY: the process is our child and was not waited for.
    unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
    assert_eq!(child.wait().unwrap().code(), Some(6));
    drop(out);
}

#[test]
fn bad_lines_are_named_and_the_next_one_is_taken() {
    let (_pmd, port) = pmd(&[]);
    let mut node = NodeProcess::start(port, "lines", &["--no-auto-start"]);
    for (line, code) in [
        (
            &b"{\"to\":\"lines\",\"payload\":\"caf\xe9\"}\n"[..],
            "invalid_message",
        ),
        (b"{\"to\":\"lines\"", "invalid_message"),
        (b"{\"to\":\"lines\",\"paylod\":1}\n", "invalid_message"),
        (b"{\"to\":\"nobody\",\"payload\":1}\n", "resolve_failed"),
    ] {
        std::io::Write::write_all(node.child.stdin(), line).unwrap();
        if !line.ends_with(b"\n") {
            node.child.write_line("");
        }
        assert_eq!(node.event("error")["code"], code);
    }
    let long = vec![b'x'; 20 << 20];
    std::io::Write::write_all(node.child.stdin(), &long).unwrap();
    node.child.write_line("");
    assert_eq!(node.event("error")["code"], "too_large");
    node.send("lines", "1");
    assert_eq!(node.event("message")["payload"], 1);
}

#[test]
fn what_cannot_be_printed_is_a_failure() {
    let (_pmd, port) = pmd(&[]);
    let mut command = distflow(&["pmd", "list", "--port", &port.to_string()]);
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let status = command.stdout(full).status().unwrap();
    assert_eq!(status.code(), Some(1));
}

#[test]
fn wrong_bounds_of_the_mailbox_are_named() {
    let (_pmd, port) = pmd(&[]);
    let flags = ["--no-auto-start", "--mailbox", "0"];
    let refused = NodeProcess::spawn(port, "none", &flags).wait(LIMIT);
    assert_eq!(refused.unwrap().code(), Some(2));
    let output = run(&["node", "run", "--overflow", "drop-all", "--port", "1"]);
    assert!(
        err(&output).contains("drop-newest, drop-oldest or block"),
        "{output:?}"
    );
}

#[test]
fn a_log_level_that_is_none_is_named() {
    let output = run(&["pmd", "status", "--log", "nonsense"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        err(&output).contains("'nonsense' is not understood"),
        "{output:?}"
    );
}

#[test]
fn a_log_level_of_other_libraries_in_the_environment_stops_nothing() {
    let port = free_port().to_string();
    let output = distflow(&["pmd", "status", "--port", &port])
        .env("LOG_LEVEL", "verbose")
        .output()
        .unwrap();
    for text in ["LOG_LEVEL is ignored", "PMD not running or unreachable"] {
        assert!(err(&output).contains(text), "{output:?}");
    }
}

#[test]
fn options_without_effect_are_refused() {
    for (arguments, says) in [
        (vec!["broker", "start", "--port", "1999"], "--mqtt-port"),
        (vec!["--port", "1999", "broker", "start"], "--mqtt-port"),
        (
            vec!["demo", "--port", "4400"],
            "no effect on `distflow demo`",
        ),
        (vec!["session", "list", "--host", "x"], "--broker URL"),
    ] {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(err(&output).contains(says), "{arguments:?}: {output:?}");
    }
}

#[test]
fn a_failure_has_a_code_of_its_family_and_is_json_where_that_is_wanted() {
    let (_pmd, port) = pmd(&[]);
    let (port, none) = (port.to_string(), free_port().to_string());
    for (arguments, code, name) in [
        (vec!["node", "send", "x", "hello"], 2, "invalid_json"),
        (
            vec!["node", "info", "nobody", "--port", &port],
            4,
            "node_not_found",
        ),
        (
            vec!["node", "info", "x", "--port", &none],
            5,
            "pmd_unavailable",
        ),
        (
            vec!["node", "run", "--no-auto-start", "--port", &none],
            5,
            "pmd_unavailable",
        ),
        (
            vec!["pmd", "resolve", "x", "--port", &port],
            1,
            "node_not_found",
        ),
        (vec!["pmd", "list", "--port", &none], 1, "pmd_unavailable"),
        (vec!["frobnicate"], 1, "invalid_argument"),
        (vec!["pmd", "frobnicate"], 1, "invalid_argument"),
        (vec!["pmd", "list", "--frobnicate"], 2, "invalid_argument"),
        (
            vec!["broker", "start", "--port", "1"],
            2,
            "invalid_argument",
        ),
    ] {
        let output = distflow(&arguments).arg("--json").output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {output:?}"
        );
        let error: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(error["code"], name, "{arguments:?}");
        assert!(error["message"].is_string(), "{error}");
    }
}

#[test]
fn a_word_is_sent_as_text_or_the_quotes_are_named() {
    let (_pmd, port) = pmd(&[]);
    let receiver = NodeProcess::start(port, "receiver", &["--no-auto-start"]);
    let port = port.to_string();
    let refused = run(&["node", "send", "receiver", "hello", "--port", &port]);
    assert!(
        err(&refused).contains("'\"hello\"', or use --text"),
        "{refused:?}"
    );
    let send = [
        "node", "send", "receiver", "hello", "--text", "--port", &port,
    ];
    assert!(wait_until(LIMIT, || run(&send).status.success()));
    assert_eq!(receiver.event("message")["payload"], "hello");
}

#[test]
fn the_list_is_a_table_where_one_is_wanted_and_shows_no_tricks() {
    let (_pmd, port) = pmd(&[]);
    let mut client = OriginalClient::connect(port);
    client.register("one", "a\u{202e}cba", 1);
    let port = port.to_string();
    let table = out(&run(&["pmd", "list", "--table", "--port", &port]));
    let lines: Vec<&str> = table.lines().collect();
    assert!(
        lines[0].starts_with("ALIAS") && lines[0].ends_with("REGISTERED"),
        "{table}"
    );
    assert!(lines[1].starts_with("a\\u{202e}cba  one"), "{table}");
    assert!(!table.contains('\u{202e}'), "{table}");
    let list = out(&run(&["pmd", "list", "--port", &port]));
    assert!(list.contains("  - a\\u{202e}cba\n"), "{list}");
    // Whoever starts a node of ours can't hide like that.
    let hidden = run(&["node", "run", "--alias", "svc\u{202e}", "--port", &port]);
    assert_eq!(hidden.status.code(), Some(2));
    assert!(err(&hidden).contains("U+202E"), "{hidden:?}");
}

#[test]
fn capabilities_are_part_of_a_node_as_json() {
    let (_pmd, port) = pmd(&[]);
    let _node = NodeProcess::start(port, "able", &["--no-auto-start"]);
    let port = port.to_string();
    let info = run(&["node", "info", "able", "--json", "--port", &port]);
    let info: serde_json::Value = serde_json::from_slice(&info.stdout).unwrap();
    assert!(
        info["caps"].as_array().is_some_and(|caps| !caps.is_empty()),
        "{info}"
    );
}

#[test]
fn the_status_says_what_runs_and_how() {
    let (child, port) = pmd(&["--auto-shutdown-ms", "60000"]);
    let status = run(&["pmd", "status", "--json", "--port", &port.to_string()]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["running"], true);
    assert_eq!(status["pid"], child.pid());
    assert_eq!(status["version"], distflow_core::VERSION);
    assert_eq!(status["autoShutdownMs"], 60_000);
    assert!(
        status["memoryBytes"].as_u64().unwrap() > 100_000,
        "{status}"
    );
    assert_eq!(status["addresses"][0], format!("127.0.0.1:{port}"));
}

#[test]
fn logs_have_no_colours_where_nobody_sees_them() {
    let (_pmd, port) = pmd(&[]);
    let port = port.to_string();
    let logged = run(&["node", "send", "x", "1", "--log", "trace", "--port", &port]);
    let text = err(&logged);
    assert!(
        text.contains("TRACE") || text.contains("DEBUG") || text.contains("INFO"),
        "{text}"
    );
    assert!(!text.contains('\x1b'), "{text}");
}

/// More lines than a pipe and a buffer hold at once, written before the signal.
#[test]
fn a_node_that_is_told_to_end_sends_what_it_was_given() {
    const LINES: usize = 300;
    let (_pmd, port) = pmd(&[]);
    let flags = ["--no-auto-start", "--mailbox", "100000"];
    let receiver = NodeProcess::start(port, "receiver", &flags);
    for round in 0..5 {
        let mut sender = NodeProcess::start(port, &format!("sender{round}"), &["--no-auto-start"]);
        for n in 0..LINES {
            sender.send("receiver", &format!("[{round},{n}]"));
        }
        sender.child.signal(libc::SIGTERM);
        for n in 0..LINES {
            assert_eq!(receiver.event("message")["payload"][1], n, "round {round}");
        }
        assert!(sender.child.wait(LIMIT).unwrap().success());
    }
}
