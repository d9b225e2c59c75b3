//! Shared documents in C: `tests/c/document.c`, and the orders of operations in which naive
//! replicas end differently.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use distflow_tests::{CProgram, TempFolder, project_folder};
use serde_json::Value;

const SOURCE: &str = "tests/c/document.c";

/// Runs a command with an input, which has to succeed; gives its standard output.
fn output(mut command: Command, input: &str) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // Ends with the program.
    let feed = std::thread::spawn(move || {
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().unwrap();
    feed.join().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn case(program: &CProgram, name: &str, directory: Option<&Path>) {
    let mut command = program.command();
    command.arg(name).args(directory);
    let text = output(command, "");
    assert!(text.ends_with(&format!("passed {name}\n")), "{text}");
}

fn passes(name: &str) {
    let folder = TempFolder::new();
    let program = CProgram::compile(SOURCE, folder.path(), &[]);
    case(&program, name, Some(&folder.path().join("kept")));
}

#[test]
fn replicas_exchange_operations() {
    passes("operations");
}

#[test]
fn replicas_exchange_snapshots() {
    passes("snapshots");
}

#[test]
fn events_tell_what_happens() {
    passes("events");
}

#[test]
fn a_document_can_be_looked_into() {
    passes("looking");
}

#[test]
fn a_directory_keeps_what_was_written() {
    passes("kept");
}

#[test]
fn threads_share_a_document() {
    passes("threads");
}

#[test]
fn a_forked_child_has_no_document() {
    passes("forked");
}

#[test]
fn a_damaged_directory_says_so() {
    let folder = TempFolder::new();
    let program = CProgram::compile(SOURCE, folder.path(), &[]);
    let kept = folder.path().join("kept");
    case(&program, "kept", Some(&kept));
    let snapshot = std::fs::read_dir(&kept)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_str().unwrap().contains("snapshot"))
        .expect("there is no snapshot");
    let mut bytes = std::fs::read(&snapshot).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&snapshot, bytes).unwrap();
    case(&program, "damaged", Some(&kept));
}

#[test]
fn no_memory_is_lost_or_touched_under_sanitizers() {
    let folder = TempFolder::new();
    let options = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
    let program = CProgram::compile(SOURCE, folder.path(), &options);
    for name in [
        "operations",
        "sources",
        "snapshots",
        "events",
        "looking",
        "kept",
    ] {
        case(&program, name, Some(&folder.path().join("kept")));
    }
}

/// What the program is told for a vector, in each of its orders; and the document it has to end
/// with.
fn orders(vector: &Value) -> Vec<(String, Value)> {
    let ops = vector["ops"].as_array().unwrap();
    let line = |step: &Value| match step.as_str() {
        Some(id) => {
            let op = ops.iter().find(|op| op["id"] == id).unwrap();
            let word = if id == "bad" { "bad" } else { "op" };
            format!("{word} {op}\n")
        }
        None => "gc\n".to_owned(),
    };
    let orders = vector["orders"].as_array().unwrap();
    orders
        .iter()
        .map(|order| {
            let steps: String = order.as_array().unwrap().iter().map(line).collect();
            let text = format!("new {}\n{steps}end\n", vector["initial"]);
            (text, vector["convergent_doc"].clone())
        })
        .collect()
}

#[test]
fn every_order_of_operations_ends_the_same() {
    let path = project_folder().join("tests/data/json-crdt-divergence.json");
    let text = std::fs::read_to_string(path).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    let vectors = file["vectors"].as_array().unwrap().iter();
    let runs: Vec<(String, Value)> = vectors
        .filter(|vector| vector["kind"] == "two-orders")
        .flat_map(orders)
        .collect();
    assert_eq!(runs.len(), 34);
    let folder = TempFolder::new();
    let program = CProgram::compile(SOURCE, folder.path(), &[]);
    let mut command = program.command();
    command.arg("obey");
    let input: String = runs.iter().map(|(input, _)| input.as_str()).collect();
    let output = output(command, &input);
    let mut lines = output.lines();
    for (input, wanted) in &runs {
        let canonical: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
        assert_eq!(&canonical, wanted, "{input}");
        let metrics: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
        assert_eq!(metrics["pendingSize"], 0, "{input}");
    }
    assert_eq!(lines.next(), Some("passed obey"));
}

#[test]
fn every_case_is_run() {
    let here = include_str!("document.rs");
    let program = std::fs::read_to_string(project_folder().join(SOURCE)).unwrap();
    let (_, table) = program.split_once("CASES_OF_THIS[] = {").unwrap();
    let (table, _) = table.split_once("};").unwrap();
    let names: Vec<&str> = table.split('"').skip(1).step_by(2).collect();
    assert!(names.len() >= 9, "{names:?}");
    for name in names {
        assert!(here.contains(&format!("\"{name}\"")), "{name} is never run");
    }
}
