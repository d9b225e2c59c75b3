//! The library for small devices: without sessions, and so without MQTT, TLS and WebSocket.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use distflow_core::pmd::{Pmd, PmdOptions};
use distflow_tests::{CProgram, Child, TempFolder, project_folder};

fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(project_folder());
    cargo
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// Builds it, in a folder of its own beside that of this build.
fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.ancestors().nth(3).unwrap().join("small");
    let build = [
        "build",
        "--locked",
        "-p",
        "distflow-ffi",
        "--no-default-features",
    ];
    output(cargo().args(build).arg("--target-dir").arg(&target));
    target.join("debug/libdistflow.so")
}

#[test]
fn without_sessions_there_is_no_mqtt_and_no_tls_and_everything_else_works() {
    let tree = [
        "tree",
        "--locked",
        "-p",
        "distflow-ffi",
        "--no-default-features",
    ];
    let packages = output(
        cargo()
            .args(tree)
            .args(["-e", "normal", "--prefix", "none"]),
    );
    assert!(packages.contains("tokio "), "{packages}");
    for without in ["rumqttc", "rustls", "ring ", "tungstenite"] {
        assert!(!packages.contains(without), "{without} in:\n{packages}");
    }

    let library = library();
    let symbols = output(
        Command::new("nm")
            .args(["-D", "--defined-only"])
            .arg(&library),
    );
    let mut has: Vec<&str> = symbols
        .lines()
        .filter_map(|line| line.split(' ').next_back())
        .filter(|name| name.starts_with("distflow_"))
        .collect();
    has.sort_unstable();
    let all = std::fs::read_to_string(project_folder().join("ffi/abi/symbols.txt")).unwrap();
    let mut expected: Vec<&str> = all
        .lines()
        .filter(|name| name.starts_with("distflow_") && !name.starts_with("distflow_session"))
        .collect();
    expected.sort_unstable();
    assert!(expected.len() > 50 && expected.len() < all.lines().count());
    assert_eq!(has, expected);

    // A program that was built with the whole library runs with this one.
    let folder = TempFolder::new();
    let program = CProgram::compile("examples/c/hello.c", folder.path(), &[]);
    symlink(&library, folder.path().join("libdistflow.so.1")).unwrap();
    let pmd = Pmd::start(PmdOptions {
        port: 0,
        ..PmdOptions::default()
    })
    .unwrap();
    let run = |arguments: &[&str]| {
        let mut command = program.command();
        command.args(arguments).arg(pmd.port().to_string());
        Child::spawn(command)
    };
    let mut receiver = run(&["receive"]);
    assert_eq!(receiver.line(), "ready");
    let sender = run(&["send", "hi"]);
    assert_eq!(sender.line(), r#"answer: "hi""#);
    receiver.kill();
}
