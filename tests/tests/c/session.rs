//! Game sessions in C: `tests/c/session.c`, each case on a broker of its own.

use std::process::Stdio;

use distflow_tests::{Broker, BrokerKind, CProgram, TempFolder, project_folder};

const SOURCE: &str = "tests/c/session.c";

fn case(program: &CProgram, name: &str) {
    let broker = Broker::start(BrokerKind::InTheBox);
    let output = program
        .command()
        .arg(name)
        .env("DISTFLOW_TEST_BROKER", broker.url())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{name}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.ends_with(&format!("passed {name}\n")), "{text}");
}

/// One test for each case of the program.
macro_rules! cases {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            let folder = TempFolder::new();
            case(&CProgram::compile(SOURCE, folder.path(), &[]), stringify!($name));
        })*

        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

cases! {
    members
    playing
    handing_over
    listing
    descriptor
    callbacks
    free_inside
    forked
    descriptors_are_closed_by_the_host
}

#[test]
fn no_memory_is_lost_or_touched_under_sanitizers() {
    let folder = TempFolder::new();
    let options = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
    let program = CProgram::compile(SOURCE, folder.path(), &options);
    // What such a child, and who had its descriptors closed, can't touch, they can't free.
    let frees = |name: &&&str| !["forked", "descriptors_are_closed_by_the_host"].contains(*name);
    for name in NAMES.iter().filter(frees) {
        case(&program, name);
    }
}

#[test]
fn every_case_is_run() {
    let program = std::fs::read_to_string(project_folder().join(SOURCE)).unwrap();
    let (_, table) = program.split_once("CASES_OF_THIS[] = {").unwrap();
    let (table, _) = table.split_once("};").unwrap();
    let names: Vec<&str> = table.split('"').skip(1).step_by(2).collect();
    assert_eq!(names, NAMES);
}
