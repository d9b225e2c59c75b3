//! The example programs, as real processes on a PMD of the test's own, and the code of the pages.

use std::process::{Command, Stdio};

use distflow_tests::{
    Broker, BrokerKind, CProgram, Child, LIMIT, PmdProcess, TempFolder, project_folder,
};

use crate::page::Block;

fn pmd() -> PmdProcess {
    PmdProcess::start(env!("CARGO_BIN_EXE_embedded_pmd"), &[])
}

/// A compiled example, in a folder that goes with it.
struct Example {
    program: CProgram,
    _folder: TempFolder,
}

impl Example {
    fn compile(file: &str) -> Self {
        let folder = TempFolder::new();
        let strict = ["-Wconversion", "-Wshadow"];
        Self {
            program: CProgram::compile(&format!("examples/c/{file}"), folder.path(), &strict),
            _folder: folder,
        }
    }

    fn run(&self, arguments: &[&str]) -> Child {
        let mut command = self.program.command();
        command.args(arguments);
        Child::spawn(command)
    }

    /// Wrong arguments are answered by how they should be.
    fn expect_usage(&self, arguments: &[&str]) {
        let mut command = self.program.command();
        let output = command.args(arguments).stdin(Stdio::null()).output();
        let output = output.unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(
            text.starts_with("usage: ") && text.lines().count() == 1,
            "{arguments:?}: {text}"
        );
        assert!(output.stdout.is_empty(), "{arguments:?}: {output:?}");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

/// Its end, which must be a success.
fn expect_success(child: &mut Child) {
    let status = child.wait(LIMIT).expect("the program goes on");
    assert!(status.success(), "{status}");
}

fn hello(file: &str) {
    let example = Example::compile(file);
    let pmd = pmd();
    let port = pmd.port().to_string();
    let mut receiver = example.run(&["receive", &port]);
    assert_eq!(receiver.line(), "ready");
    for (text, json) in [
        ("Hi there", r#""Hi there""#),
        (
            "quotes \" and \\, a tab \t, ä",
            r#""quotes \" and \\, a tab \u0009, ä""#,
        ),
        ("", r#""""#),
    ] {
        let mut sender = example.run(&["send", text, &port]);
        assert!(receiver.line().ends_with(&format!(" says {json}")));
        assert_eq!(sender.line(), format!("answer: {json}"));
        expect_success(&mut sender);
    }
    receiver.kill();
    for wrong in [
        &[][..],
        &["send"],
        &["sing", &port],
        &["receive", "0"],
        &["receive", "65536"],
        &["receive", "12x"],
        &["receive", &port, "more"],
        &["send", "text", &port, "more"],
    ] {
        example.expect_usage(wrong);
    }
}

#[test]
fn hello_talks_in_c() {
    hello("hello.c");
}

#[test]
fn hello_talks_in_cpp() {
    hello("hello.cpp");
}

#[test]
fn the_cpp_receiver_ends_with_its_input() {
    let example = Example::compile("hello.cpp");
    let pmd = pmd();
    let mut receiver = example.run(&["receive", &pmd.port().to_string()]);
    assert_eq!(receiver.line(), "ready");
    receiver.close_stdin();
    expect_success(&mut receiver);
}

#[test]
fn a_program_without_a_receiver_says_so() {
    for file in ["hello.c", "hello.cpp"] {
        let example = Example::compile(file);
        let pmd = pmd();
        let mut command = example.program.command();
        let output = command.args(["send", "text", &pmd.port().to_string()]);
        let output = output.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("(resolve_failed)"), "{text}");
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn watch_sees_who_is_there_and_who_comes_and_goes() {
    let example = Example::compile("watch.c");
    let node = Example::compile("node.c");
    let pmd = pmd();
    let port = pmd.port().to_string();
    let first = node.run(&["--alias", "first", "--port", &port]);
    first.line_after("{\"event\":\"started\"");
    let mut watch = example.run(&[&port]);
    assert!(watch.line_after("here ").contains(" first localhost:"));
    assert_eq!(watch.line(), "ready");
    let mut second = node.run(&["--alias", "second", "--port", &port]);
    assert!(watch.line_after("join ").contains(" second localhost:"));
    second.kill();
    let left = watch.line_after("leave ");
    assert!(
        left.contains(" second ") && left.ends_with(" closed"),
        "{left}"
    );
    watch.close_stdin();
    expect_success(&mut watch);

    let mut watch = example.run(&[&port]);
    watch.line_after("ready");
    watch.signal(libc::SIGINT);
    expect_success(&mut watch);
    for wrong in [&["x"][..], &["0"], &[&port, "more"]] {
        example.expect_usage(wrong);
    }
}

#[test]
fn embedded_pmd_serves_and_prints_the_registry() {
    let example = Example::compile("embedded_pmd.c");
    let node = Example::compile("node.c");
    let mut pmd = example.run(&["0"]);
    let port = pmd.line_after("PMD on port ");
    let mut billing = node.run(&["--alias", "billing", "--port", &port]);
    assert!(pmd.line_after("join ").ends_with(" billing"));
    pmd.write_line("");
    assert_eq!(pmd.line(), "1 registered");
    assert!(pmd.line_after("  ").contains(" billing localhost:"));
    billing.close_stdin();
    assert!(pmd.line_after("leave ").ends_with(" billing unregistered"));
    expect_success(&mut billing);
    pmd.close_stdin();
    assert_eq!(pmd.line_after("stopped: "), "closed");
    expect_success(&mut pmd);
    for wrong in [&["x"][..], &[""], &["65536"], &["0", "more"]] {
        example.expect_usage(wrong);
    }
}

#[test]
fn epoll_sends_and_receives_in_one_thread_of_its_own() {
    let example = Example::compile("epoll.c");
    let pmd = pmd();
    let port = pmd.port().to_string();
    let mut one = example.run(&["one", &port]);
    one.line_after("ready");
    let mut two = example.run(&["two", &port]);
    two.line_after("ready");
    // The second one knows the first since its start.
    one.line_after("two joined");
    two.write_line(r#"one {"n": 1}"#);
    assert!(one.line().ends_with(r#" says {"n": 1}"#));
    for n in 0..100 {
        one.write_line(&format!("two [{n}]"));
    }
    for n in 0..100 {
        assert!(two.line().ends_with(&format!(" says [{n}]")));
    }
    // A line that came in pieces, and the end of the input, flush all the same.
    two.write_line("one \"last\"");
    two.close_stdin();
    assert!(one.line().ends_with(r#" says "last""#));
    expect_success(&mut two);
    for wrong in [&[][..], &["one", "0"], &["one", &port, "more"]] {
        example.expect_usage(wrong);
    }
}

#[test]
fn node_speaks_the_lines_of_the_program() {
    let example = Example::compile("node.c");
    let pmd = pmd();
    let port = pmd.port().to_string();
    let mut one = example.run(&["--alias", "one", "--port", &port]);
    let started: serde_json::Value = serde_json::from_str(&one.line()).unwrap();
    assert_eq!(started["event"], "started");
    assert_eq!(
        (&started["alias"], &started["language"]),
        (&"one".into(), &"C".into())
    );
    // Members in either order, nested payloads with brackets in texts, none at all.
    for (line, payload) in [
        (
            r#"{"to":"one","payload":{"a":[1,"}]\""]}}"#,
            r#"{"a":[1,"}]\""]}"#,
        ),
        (r#" { "payload" : 1.50 , "to" : "one" } "#, "1.50"),
        (r#"{"to":"one","payload":"ä \u00e4"}"#, r#""ä \u00e4""#),
    ] {
        one.write_line(line);
        let message = one.line();
        assert!(
            message.contains(&format!(",\"payload\":{payload},"))
                || message.contains(&format!(",\"payload\":{payload} ,")),
            "{message}"
        );
        serde_json::from_str::<serde_json::Value>(&message).unwrap();
    }
    one.write_line(r#"{"to":"one"}"#);
    assert!(!one.line().contains("payload"));
    for (line, code) in [
        ("nonsense", "invalid_message"),
        (r#"{"payload":1}"#, "invalid_message"),
        (r#"{"to":"one","payload":"#, "invalid_message"),
        (r#"{"to":"one","payload":}"#, "invalid_message"),
        (r#"{"to":"one","payload":"x}"#, "invalid_message"),
        (r#"{"to":"one","payload":1} more"#, "invalid_message"),
        (r#"{"to":"one","other":1}"#, "invalid_message"),
        (r#"{"to":""}"#, "invalid_message"),
        (r#"{"to":1}"#, "invalid_message"),
        (r#"{"to":"one\u0041","payload":1}"#, "invalid_message"),
        (r#"{"to":"one","payload":[1,]}"#, "invalid_json"),
        (r#"{"to":"nobody","payload":1}"#, "resolve_failed"),
    ] {
        one.write_line(line);
        let error: serde_json::Value = serde_json::from_str(&one.line()).unwrap();
        assert_eq!(error["code"], code, "{line}");
    }
    one.close_stdin();
    assert!(one.line().starts_with("{\"event\":\"peer:leave\""));
    assert_eq!(one.line(), "{\"event\":\"stopped\"}");
    expect_success(&mut one);
    for wrong in [&[][..], &["--alias", "a", "--port", "0"], &["--alias", "a"]] {
        example.expect_usage(wrong);
    }
}

#[test]
fn the_demo_runs_a_c_program_among_the_others() {
    let node = Example::compile("node.c");
    // Carries the paths that the node needs.
    let mut command = node.program.command_within(
        distflow_tests::distflow_program().to_str().unwrap(),
        &["demo", "--nodes", "3", "--messages", "5", "--node-program"],
    );
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(
        text.contains("Summary: 4 processes (3 Rust, 1 C)")
            && text.contains("60 messages arrived in order"),
        "{text}"
    );
}

#[test]
fn session_plays_with_others() {
    let example = Example::compile("session.c");
    let broker = Broker::start(BrokerKind::InTheBox);
    let url = broker.url();
    let mut one = example.run(&["create", "lake", &url]);
    assert!(one.line().starts_with("created "));
    let mut two = example.run(&["join", "lake", &url]);
    one.line_after("member_joined ");
    two.line_after("joined ");
    two.write_line("hello, \u{e4}");
    assert_eq!(one.line_after("line: "), "hello, \u{e4}");
    // The creator goes, and the other one continues.
    one.close_stdin();
    expect_success(&mut one);
    two.line_after("creator_changed ");
    two.line_after("member_left ");
    let mut three = example.run(&["join", "lake", &url]);
    two.line_after("member_joined ");
    two.signal(libc::SIGINT);
    expect_success(&mut two);
    three.signal(libc::SIGTERM);
    expect_success(&mut three);

    let mut command = example.program.command();
    let output = command.args(["join", "sea", &url]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("no session of this id"), "{text}");
    assert_eq!(output.status.code(), Some(1));
    for wrong in [
        &[][..],
        &["join"],
        &["leave", "lake"],
        &["join", "lake", &url, "more"],
    ] {
        example.expect_usage(wrong);
    }
}

/// Compiles a block without linking, as the C or C++ it says it is.
fn compile(block: &Block, standards: &[&str]) {
    let folder = TempFolder::new();
    let source = folder.path().join(format!("block.{}", block.language));
    std::fs::write(&source, &block.text).unwrap();
    let compiler = if block.language == "c" { "cc" } else { "c++" };
    for standard in standards {
        let mut command = Command::new(compiler);
        command
            .arg(format!("-std={standard}"))
            .args([
                "-Wall",
                "-Wextra",
                "-Wpedantic",
                "-Wconversion",
                "-Wshadow",
                "-Werror",
            ])
            .arg("-I")
            .arg(project_folder().join("include"))
            .arg("-c")
            .arg(&source)
            .arg("-o")
            .arg(folder.path().join("block.o"));
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "line {} of {}, {standard}:\n{}\n{}",
            block.line,
            block.page,
            block.text,
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn the_code_of_the_pages_compiles() {
    let mut compiled = 0;
    for page in ["README.md", "docs/c.md", "docs/abi.md"] {
        for block in crate::page::blocks(page) {
            match block.language.as_str() {
                "c" => compile(&block, &["c11", "c17"]),
                "cpp" => compile(&block, &["c++17", "c++20"]),
                _ => continue,
            }
            compiled += 1;
        }
    }
    assert!(compiled >= 7, "only {compiled} blocks were found");
}
