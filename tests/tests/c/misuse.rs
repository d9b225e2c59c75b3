//! Calls as no program should make them: `tests/c/misuse.c`, plainly and under what finds
//! mistakes in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use distflow_tests::{Broker, BrokerKind, CProgram, TempFolder, project_folder};

const SOURCE: &str = "tests/c/misuse.c";

/// Runs a command that has to succeed, beside a broker; returns its standard output.
fn output(mut command: Command) -> String {
    let broker = Broker::start(BrokerKind::InTheBox);
    let output = command
        .env("DISTFLOW_TEST_BROKER", broker.url())
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn run(arguments: &[&str]) -> String {
    let folder = TempFolder::new();
    let mut command = CProgram::compile(SOURCE, folder.path(), &[]).command();
    command.args(arguments);
    output(command)
}

/// Each function of the header with the text of its comment.
fn declarations() -> BTreeMap<String, String> {
    let header = std::fs::read_to_string(project_folder().join("include/distflow.h")).unwrap();
    let (_, functions) = header.split_once("extern \"C\" {").unwrap();
    functions
        .split("/**")
        .skip(1)
        .filter_map(|item| {
            let (comment, declaration) = item.split_once("*/")?;
            let words: Vec<&str> = comment
                .lines()
                .flat_map(|line| line.trim().trim_start_matches('*').split_whitespace())
                .collect();
            let (before, _) = declaration.split_once('(')?;
            let name = before.split_whitespace().last()?.trim_start_matches('*');
            Some((name.to_owned(), words.join(" ")))
        })
        .collect()
}

/// The statuses that a function's comment lists, by their names.
fn promised(comment: &str) -> BTreeSet<String> {
    let (_, list) = comment.split_once("Statuses: ").expect("no statuses");
    let names = list.split(|c: char| !c.is_ascii_uppercase() && c != '_');
    names
        .filter(|name| name.len() > 1)
        .map(|name| name.trim_start_matches("DISTFLOW_").to_lowercase())
        .collect()
}

#[test]
fn every_function_is_in_the_table() {
    let listed = run(&["--list"]);
    let listed: BTreeSet<String> = listed.lines().map(str::to_owned).collect();
    let declared: BTreeSet<String> = declarations().into_keys().collect();
    assert!(declared.len() > 40, "{declared:?}");
    assert_eq!(listed, declared);
}

/// Statuses that were seen are among those the header lists for the function.
fn check_promised(arguments: &[&str]) {
    let declarations = declarations();
    let output = run(arguments);
    let mut broken = BTreeSet::new();
    let mut seen = 0;
    for line in output.lines().filter_map(|line| line.strip_prefix("saw ")) {
        seen += 1;
        let (name, status) = line.split_once(' ').unwrap();
        // The suite's short form of one call.
        let name = name.replace("SEND", "distflow_node_send");
        if !promised(&declarations[&name]).contains(status) {
            broken.insert(format!("{name} gave {status}"));
        }
    }
    assert!(seen > 0);
    assert!(broken.is_empty(), "the header does not list it: {broken:?}");
}

#[test]
fn misuse_gives_what_the_header_says() {
    check_promised(&[]);
}

#[test]
fn hosts_that_cannot_be_looked_up_give_what_the_header_says() {
    check_promised(&["hosts"]);
}

#[test]
fn a_pmd_that_has_ended_says_so_at_once() {
    check_promised(&["ended"]);
}

#[test]
fn structs_are_emptied_whatever_the_status() {
    assert!(run(&["emptied"]).ends_with("passed\n"));
}

#[test]
fn misuse_touches_no_memory_under_sanitizers() {
    let folder = TempFolder::new();
    let options = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
    let mut command = CProgram::compile(SOURCE, folder.path(), &options).command();
    command.env(
        "ASAN_OPTIONS",
        "detect_leaks=1:detect_stack_use_after_return=1",
    );
    command.env("UBSAN_OPTIONS", "print_stacktrace=1");
    assert!(output(command).ends_with("passed\n"));
}

#[test]
fn misuse_touches_and_leaks_no_memory_under_valgrind() {
    let has_valgrind = Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    assert!(
        has_valgrind,
        "valgrind is missing: apt-get install valgrind"
    );
    let folder = TempFolder::new();
    let program = CProgram::compile(SOURCE, folder.path(), &[]);
    let options = [
        "--quiet",
        "--error-exitcode=99",
        "--leak-check=full",
        "--errors-for-leak-kinds=definite,indirect",
        "--show-leak-kinds=definite,indirect",
        // Threads that wait for each other are given their turn.
        "--fair-sched=yes",
    ];
    let command = program.command_within("valgrind", &options);
    assert!(output(command).ends_with("passed\n"));
}
