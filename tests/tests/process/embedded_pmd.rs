//! Nodes that serve as the PMD, because there is no program to launch.

use std::path::{Path, PathBuf};
use std::process::Command;

use distflow_core::PmdClient;
use distflow_tests::{Child, LIMIT, TempFolder, free_port, wait_until};

/// A program alone in a folder, and nothing to be found elsewhere.
struct Lonely {
    _folder: TempFolder,
    program: PathBuf,
    port: u16,
}

impl Lonely {
    fn new() -> Self {
        // On the file system of the program, for a link: a copy could not be run while a process that
        // another test is about to start still has it open for writing.
        let folder = TempFolder::within(Path::new(env!("CARGO_TARGET_TMPDIR")));
        let program = folder.path().join("host");
        std::fs::hard_link(env!("CARGO_BIN_EXE_embedding_node"), &program).unwrap();
        Self {
            _folder: folder,
            program,
            port: free_port(),
        }
    }

    fn command(&self, alias: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args([&self.port.to_string(), alias])
            .env("PATH", "")
            .env_remove("DISTFLOW_PMD");
        command
    }

    fn spawn(&self, alias: &str) -> Child {
        Child::spawn(self.command(alias))
    }

    fn start(&self, alias: &str) -> Child {
        let child = self.spawn(alias);
        assert_eq!(child.line(), "started");
        child
    }

    /// The aliases that the PMD knows; none without a PMD.
    fn listed(&self) -> Vec<String> {
        let nodes = PmdClient::connect("localhost", self.port).and_then(|mut pmd| pmd.list(None));
        let aliases = nodes.unwrap_or_default().into_iter();
        let mut aliases: Vec<String> = aliases.filter_map(|node| node.alias).collect();
        aliases.sort();
        aliases
    }
}

#[test]
fn a_node_serves_and_another_takes_over() {
    let lonely = Lonely::new();
    let mut first = lonely.start("first");
    let mut second = lonely.start("second");
    let mut third = lonely.start("third");
    assert_eq!(second.line_after("join "), "third");
    let all = ["first", "second", "third"];
    assert!(wait_until(LIMIT, || lonely.listed() == all));

    first.close_stdin();
    // The port was free again, or somebody else's already, when the shutdown returned.
    first.line_after("ended, ");
    assert!(first.wait(LIMIT).unwrap().success());
    for other in [&second, &third] {
        assert_eq!(other.line_after("leave "), "first");
        other.line_after("lost");
        other.line_after("restored");
    }
    assert!(wait_until(LIMIT, || lonely.listed() == ["second", "third"]));

    // Whoever serves now: after a crash it is the one that is left.
    second.kill();
    assert_eq!(third.line_after("leave "), "second");
    assert!(wait_until(LIMIT, || lonely.listed() == ["third"]));
    third.close_stdin();
    assert_eq!(third.line_after("ended, "), "pmd_unavailable");
    assert!(third.wait(LIMIT).unwrap().success());
}

#[test]
fn twenty_nodes_at_once_agree_on_one_pmd() {
    let lonely = Lonely::new();
    let children: Vec<Child> = (0..20).map(|i| lonely.spawn(&format!("n{i}"))).collect();
    for child in &children {
        assert_eq!(child.line(), "started");
    }
    assert!(wait_until(LIMIT, || lonely.listed().len() == children.len()));
}

#[test]
fn without_the_option_the_error_says_what_to_do() {
    let lonely = Lonely::new();
    let mut command = lonely.command("first");
    command.arg("no");
    let text = Child::spawn(command).line_after("failed pmd_launch_failed: ");
    assert!(text.contains("embed_pmd"), "{text}");
}

#[test]
fn a_variable_that_names_nothing_is_not_overruled() {
    let lonely = Lonely::new();
    let mut command = lonely.command("first");
    command.env("DISTFLOW_PMD", "/nonexistent/distflow");
    let text = Child::spawn(command).line_after("failed pmd_launch_failed: ");
    assert!(text.contains("/nonexistent/distflow"), "{text}");
}
