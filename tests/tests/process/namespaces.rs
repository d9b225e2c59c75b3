//! Hosts of their own, as network namespaces.

use std::process::Command;

/// Runs a program, which has to succeed.
pub fn call(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {output:?}"
    );
}

/// Runs `ip` with the words of a line.
pub fn ip(line: &str) {
    call("ip", &line.split(' ').collect::<Vec<_>>());
}

/// Whether this machine has not what namespaces and a test need. What was not run has not passed:
/// this fails then, unless who runs the tests has said that they go without.
pub fn are_missing(test: &str, programs: &[&str]) -> bool {
    // SAFETY: geteuid only asks.
    let is_root = unsafe { libc::geteuid() } == 0;
    let has = |program: &&&str| Command::new(program).arg("-V").output().is_ok();
    let missing: Vec<_> = programs.iter().filter(|program| !has(program)).collect();
    let why = match (is_root, missing.as_slice()) {
        (true, []) => return false,
        (false, _) => "it needs to be root, for network namespaces".to_owned(),
        (true, missing) => format!("it needs {missing:?}: apt-get install iproute2 nftables"),
    };
    let known = std::env::var_os("DISTFLOW_WITHOUT_NAMESPACES").is_some();
    assert!(
        known,
        "NOT RUN: {why}. Set DISTFLOW_WITHOUT_NAMESPACES=1 to go without this test"
    );
    println!("NOT RUN: {test}: {why}");
    true
}
