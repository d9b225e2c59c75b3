//! `distflow.hpp`, in two units of one program, as C++17 and C++20, strictly.

use std::process::{Command, Stdio};

use distflow_tests::{Broker, BrokerKind, CProgram, TempFolder, project_folder};

fn run(options: &[&str]) {
    let folder = TempFolder::new();
    let cpp = |file: &str| project_folder().join("tests/cpp").join(file);
    let object = folder.path().join("second_unit.o");
    let strict = [
        "-Wall",
        "-Wextra",
        "-Wpedantic",
        "-Wconversion",
        "-Wshadow",
        "-Wold-style-cast",
        "-Wzero-as-null-pointer-constant",
        "-Werror",
    ];
    // The last standard that is given counts.
    let options: Vec<&str> = strict.iter().chain(options).copied().collect();
    let output = Command::new("c++")
        .arg("-std=c++17")
        .args(&options)
        .arg("-I")
        .arg(project_folder().join("include"))
        .arg("-c")
        .arg(cpp("second_unit.cpp"))
        .arg("-o")
        .arg(&object)
        .output()
        .unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let options: Vec<&str> = [object.to_str().unwrap()]
        .into_iter()
        .chain(options)
        .collect();
    let program = CProgram::compile("tests/cpp/wrapper.cpp", folder.path(), &options);
    let broker = Broker::start(BrokerKind::InTheBox);
    let mut command = program.command();
    command.env("DISTFLOW_TEST_BROKER", broker.url());
    let output = command.stdin(Stdio::null()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "done\n");
    let lines: Vec<_> = errors.lines().collect();
    assert_eq!(
        lines,
        [
            "distflow: a callback threw what is no std::exception",
            "distflow: a callback threw an exception: reported on purpose",
        ]
    );
}

#[test]
fn it_does_what_it_says_as_cpp_17() {
    run(&[]);
}

#[test]
fn it_does_what_it_says_as_cpp_20_under_sanitizers() {
    run(&["-std=c++20", "-fsanitize=address,undefined"]);
}
