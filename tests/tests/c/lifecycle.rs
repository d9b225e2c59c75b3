//! Life cycle of nodes, callbacks, processes and the library itself, as C programs see them.

use std::net::TcpListener;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use distflow_tests::{
    CProgram, Child, LIMIT, TempFolder, distflow_library, project_folder, wait_until,
};

/// How long a program may take; it only bounds a failing run.
const PROGRAM_LIMIT: Duration = Duration::from_secs(240);

/// Runs a command to its end.
fn run(command: Command) -> ExitStatus {
    let name = format!("{command:?}");
    let mut child = Child::spawn(command);
    child
        .wait(PROGRAM_LIMIT)
        .unwrap_or_else(|| panic!("{name} did not end"))
}

/// A program of `tests/c/lifecycle`.
fn compile(program: &str, folder: &TempFolder) -> CProgram {
    let source = format!("tests/c/lifecycle/{program}.c");
    CProgram::compile(&source, folder.path(), &[])
}

/// Runs one case of a program, which has to pass.
fn passes(program: &str, case: &str) {
    let folder = TempFolder::new();
    let mut command = compile(program, &folder).command();
    command.arg(case);
    let status = run(command);
    assert!(status.success(), "{program} {case}: {status}");
}

/// One test for each case of a program.
macro_rules! cases {
    ($($program:ident: $($case:ident)*;)*) => {
        $(mod $program {
            $(#[test]
            fn $case() {
                super::passes(stringify!($program), stringify!($case));
            })*
        })*
    };
}

cases! {
    callbacks:
        close_inside
        free_inside
        free_inside_ends_the_others
        free_inside_ends_the_batch
        free_another_inside
        drop_on_failure
        close_during_a_flood
        close_waits_for_a_callback
        free_leaves_a_callback_undisturbed
        two_threads_close
        everything_inside;
    receiving:
        descriptor_of_a_node
        descriptor_of_a_pmd
        callbacks_keep_the_order
        polling_keeps_the_order
        an_event_loop_misses_nothing
        callbacks_keep_no_memory
        bounds;
    process:
        fork_leaves_the_parent_alone
        fork_in_a_callback
        fork_beside_busy_threads
        fork_with_a_log
        signals_are_the_hosts
        signals_reach_only_the_host
        descriptors_are_closed_by_the_host
        a_small_stack
        no_sigpipe;
}

/// Every program and every case of it is run.
#[test]
fn no_case_is_left_out() {
    let this = include_str!("lifecycle.rs");
    let folder = project_folder().join("tests/c/lifecycle");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let program = path.file_stem().unwrap().to_str().unwrap();
        assert!(this.contains(program), "{program} is not run");
        let source = std::fs::read_to_string(&path).unwrap();
        let cases = source
            .lines()
            .filter_map(|line| line.trim().strip_prefix("{\"")?.split_once("\", "));
        for (case, _) in cases {
            assert!(this.contains(case), "{program} {case} is not run");
        }
    }
}

#[test]
fn threads_open_and_close_nodes() {
    let folder = TempFolder::new();
    let status = run(compile("threads", &folder).command());
    assert!(status.success(), "{status}");
}

#[test]
fn a_process_may_end_at_any_moment() {
    let folder = TempFolder::new();
    let program = compile("process", &folder);
    for case in [
        "exit_from_main",
        "exit_from_a_callback",
        "exit_from_a_thread",
        "return_from_main",
    ] {
        let code = if case == "return_from_main" { 0 } else { 7 };
        for repeat in 0..50 {
            let mut command = program.command();
            command.arg(case);
            let mut child = Child::spawn(command);
            let status = child
                .wait(LIMIT)
                .unwrap_or_else(|| panic!("{case} did not end, repeat {repeat}"));
            assert_eq!(status.code(), Some(code), "{case}, repeat {repeat}");
        }
    }
}

#[test]
fn a_child_does_not_keep_the_port_of_its_dead_parents_pmd() {
    let folder = TempFolder::new();
    let mut command = compile("process", &folder).command();
    command.arg("fork_and_die");
    let parent = Child::spawn(command);
    let port: u16 = parent.line_after("port ").parse().unwrap();
    let child: libc::pid_t = parent.line_after("child ").parse().unwrap();
    assert!(
        TcpListener::bind(("127.0.0.1", port)).is_err(),
        "there is no PMD"
    );
    // (Waiting for the parent would close the input that keeps the child alive.)
    parent.signal(libc::SIGKILL);
    let mut own = None;
    let is_free = wait_until(LIMIT, || {
        own = TcpListener::bind(("127.0.0.1", port)).ok();
        own.is_some()
    });
    assert!(is_free, "the port is still taken");
    // SAFETY: signal 0 only asks whether the process is there.
    assert_eq!(unsafe { libc::kill(child, 0) }, 0, "the child is gone");
}

#[test]
fn the_library_can_be_loaded_again_and_twice() {
    let folder = TempFolder::new();
    let library = distflow_library();
    let copy = folder.path().join("another-name.so");
    std::fs::copy(&library, &copy).unwrap();
    let program = folder.path().join("loading");
    // Not linked with the library, hence not by `CProgram`.
    let output = Command::new("cc")
        .args(["-std=c11", "-g", "-pthread", "-D_GNU_SOURCE"])
        .args(["-Wall", "-Wextra", "-Wpedantic", "-Werror"])
        .arg("-I")
        .arg(project_folder().join("include"))
        .arg(project_folder().join("tests/c/lifecycle/loading.c"))
        .arg("-o")
        .arg(&program)
        .arg("-ldl")
        .output()
        .expect("cannot run cc");
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut command = Command::new(program);
    command.arg(&library).arg(&copy);
    let status = run(command);
    assert!(status.success(), "{status}");
}
