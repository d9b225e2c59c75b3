//! What a launch starts, what it gives to the daemon, and what becomes of it.

use std::io::Write;
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::Command;

use distflow_core::PmdClient;
use distflow_tests::{Child, LIMIT, TempFolder, distflow_program, free_port, wait_until};

use crate::nodes::{DaemonGuard, NodeProcess, daemons, distflow};

/// Writes an executable shell script.
fn script(folder: &TempFolder, text: &str) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.path().join("program");
    std::fs::write(&path, format!("#!/bin/sh\n{text}")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_program_that_is_launched_in_place_of_the_command_line_starts_once_more_and_no_oftener() {
    let port = free_port();
    let _guard = DaemonGuard(port);
    let folder = TempFolder::new();
    let starts = folder.path().join("starts");
    // A packaged program: whatever it is told, it opens a node, and that launches the program.
    let program = script(
        &folder,
        &format!(
            "echo x >> '{}'\nexec '{}' node run --port {port} --until-eof < /dev/null\n",
            starts.display(),
            distflow_program().display()
        ),
    );
    let output = Command::new(&program)
        .env("DISTFLOW_PMD", &program)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(5), "{text}");
    for says in [
        "embed_pmd",
        "DISTFLOW_LAUNCHED",
        "not the distflow command line",
    ] {
        assert!(text.contains(says), "{text}");
    }
    assert_eq!(std::fs::read_to_string(&starts).unwrap(), "x\nx\n");
    assert!(daemons(port).is_empty());
}

#[test]
fn a_node_starts_where_nobody_keeps_the_status_of_children() {
    let port = free_port();
    let _guard = DaemonGuard(port);
    let mut command = distflow(&["node", "run", "--alias", "a", "--port", &port.to_string()]);
    // SAFETY: signal is async-signal-safe. What is ignored stays so over `exec`.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGCHLD, libc::SIG_IGN);
            Ok(())
        });
    }
    let node = NodeProcess::started(Child::spawn(command));
    assert_eq!(daemons(port).len(), 1);
    drop(node);
}

fn proc(pid: i32, file: &str) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The set of signals of a line of `/proc/PID/status`.
fn signals(pid: i32, name: &str) -> u64 {
    let status = proc(pid, "status");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    u64::from_str_radix(line.unwrap().trim_start_matches(':').trim(), 16).unwrap()
}

#[test]
fn a_daemon_inherits_nothing_of_its_starter() {
    let port = free_port();
    let _guard = DaemonGuard(port);
    let folder = TempFolder::new();
    let lock = folder.path().join("lock");
    let file = std::fs::File::create(&lock).unwrap();
    let mut command = distflow(&["node", "run", "--alias", "a", "--port", &port.to_string()]);
    command
        .current_dir(folder.path())
        .env("A_SECRET_OF_THE_STARTER", "s3cret");
    // SAFETY: only async-signal-safe calls, on values that the closure owns.
    unsafe {
        command.pre_exec(move || {
            use std::os::fd::AsRawFd;
            libc::dup2(file.as_raw_fd(), 50);
            libc::flock(50, libc::LOCK_EX);
            libc::signal(libc::SIGHUP, libc::SIG_IGN);
            libc::signal(libc::SIGCHLD, libc::SIG_IGN);
            let mut blocked: libc::sigset_t = std::mem::zeroed();
            libc::sigaddset(&raw mut blocked, libc::SIGUSR1);
            libc::sigprocmask(libc::SIG_BLOCK, &raw const blocked, std::ptr::null_mut());
            libc::setpriority(libc::PRIO_PROCESS, 0, 7);
            libc::umask(0);
            Ok(())
        });
    }
    let mut node = NodeProcess::started(Child::spawn(command));
    let [pid] = daemons(port)[..] else {
        panic!("no daemon")
    };
    let open: Vec<_> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .collect();
    assert!(!open.contains(&lock), "{open:?}");
    assert_eq!(
        std::fs::read_link(format!("/proc/{pid}/cwd"))
            .unwrap()
            .as_os_str(),
        "/"
    );
    assert!(!proc(pid, "environ").contains("A_SECRET_OF_THE_STARTER"));
    // Its own thread that waits for two of them holds those back, and the runtime of its language
    // ignores SIGPIPE. The C library keeps those from 32 on to itself.
    const USUAL: u64 = (1 << 31) - 1;
    let bit = |signal: i32| 1_u64 << (signal - 1);
    let ended_by = bit(libc::SIGINT) | bit(libc::SIGTERM);
    assert_eq!(signals(pid, "SigBlk") & USUAL & !ended_by, 0);
    assert_eq!(signals(pid, "SigIgn") & USUAL, bit(libc::SIGPIPE));
    assert!(proc(pid, "status").contains("Umask:\t0077"));
    // SAFETY: getpriority only asks.
    let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, pid as libc::id_t) };
    // Without a privilege, a value can't be made smaller.
    // SAFETY: geteuid only asks.
    if unsafe { libc::geteuid() } == 0 {
        assert_eq!(nice, 0);
    }
    // The lock is free when its owner has ended, while the daemon lives.
    node.child.kill();
    let again = std::fs::File::open(&lock).unwrap();
    assert!(again.try_lock().is_ok());
    assert_eq!(daemons(port), [pid]);
}

/// Ended children of a process that nobody has asked for.
fn zombies(parent: u32) -> usize {
    let of_parent = format!("PPid:\t{parent}\n");
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let statuses =
        processes.filter_map(|entry| std::fs::read_to_string(entry.path().join("status")).ok());
    statuses
        .filter(|status| status.contains("State:\tZ") && status.contains(&of_parent))
        .count()
}

/// As process 1 of a container is, a subreaper is the parent of what its children leave behind.
#[test]
fn a_process_that_inherits_its_daemons_leaves_no_zombies() {
    let port = free_port();
    let _guard = DaemonGuard(port);
    let mut command = distflow(&["node", "run", "--alias", "a", "--port", &port.to_string()]);
    // SAFETY: prctl is async-signal-safe; the setting outlives `exec`.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
            Ok(())
        });
    }
    let node = NodeProcess::started(Child::spawn(command));
    for _ in 0..3 {
        assert!(wait_until(LIMIT, || daemons(port).len() == 1));
        let pid = daemons(port)[0];
        let parent = format!("PPid:\t{}\n", node.child.pid());
        assert!(wait_until(LIMIT, || proc(pid, "status").contains(&parent)));
        // SAFETY: a signal to the daemon that the node started.
        unsafe { libc::kill(pid, libc::SIGKILL) };
        node.event("pmd:restored");
        assert!(wait_until(LIMIT, || zombies(node.child.pid()) == 0));
    }
}

#[test]
fn a_daemon_beside_a_running_pmd_is_not_started_and_says_so() {
    let (_pmd, port) = crate::nodes::pmd(&[]);
    let port = port.to_string();
    let start = [
        "pmd",
        "start",
        "--daemon",
        "--port",
        &port,
        "--auto-shutdown-ms",
        "1",
    ];
    let output = distflow(&start).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains(&port) && text.contains("no effect"), "{text}");
    assert!(output.stdout.is_empty(), "{output:?}");
}

#[test]
fn a_daemon_logs_as_it_was_told_to() {
    let port = free_port();
    let _guard = DaemonGuard(port);
    let folder = TempFolder::new();
    let log = folder.path().join("pmd.log");
    let port_text = port.to_string();
    let start = [
        "pmd", "start", "--daemon", "--port", &port_text, "--log", "info",
    ];
    let started = distflow(&start)
        .args(["--log-format", "json", "--log-file"])
        .arg(&log)
        .status();
    assert!(started.unwrap().success());
    let node = NodeProcess::start(port, "logged", &["--no-auto-start"]);
    PmdClient::connect("localhost", port)
        .unwrap()
        .list(None)
        .unwrap();
    let joined = || -> Option<serde_json::Value> {
        let text = std::fs::read_to_string(&log).unwrap();
        let mut lines = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        lines.find(|line: &serde_json::Value| line["message"] == "node joined")
    };
    assert!(wait_until(LIMIT, || joined().is_some()));
    let joined = joined().unwrap();
    assert_eq!(joined["alias"], "logged");
    assert_eq!(joined["node"], node.id.as_str());
    assert!(joined["time"].as_str().unwrap().ends_with('Z'), "{joined}");
    // What is refused, and what it prints, is in objects as well; the last line may be half written.
    let stranger = TcpStream::connect(("127.0.0.1", port)).unwrap();
    (&stranger).write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    drop(node);
    let whole = || {
        let text = std::fs::read_to_string(&log).unwrap();
        let end = text.rfind('\n').map_or(0, |end| end + 1);
        text[..end].to_owned()
    };
    let has = |word: &str| wait_until(LIMIT, || whole().contains(word));
    assert!(has("\"message\":\"connection\"") && has("node left"));
    for line in whole().lines() {
        let object = serde_json::from_str::<serde_json::Value>(line);
        assert!(object.is_ok_and(|line| line["level"].is_string()), "{line}");
    }
}

/// Where nothing is logged, or less than that, what the PMD prints is text or nothing, and never both.
#[test]
fn a_format_without_a_log_changes_nothing() {
    for (options, says) in [
        (&["--log-format", "json"][..], true),
        (&["--log-format", "json", "--log", "error"], false),
    ] {
        let start = ["pmd", "start", "--port", "0", "--auto-shutdown-ms", "1"];
        let output = distflow(&start).args(options).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.contains("Auto-shutdown triggered"), says, "{text}");
        assert_eq!(output.stderr, b"", "{options:?}");
    }
}

#[test]
fn a_daemon_without_a_file_says_that_it_logs_nowhere() {
    let port = free_port();
    let _guard = DaemonGuard(port);
    let port_text = port.to_string();
    let start = [
        "pmd", "start", "--daemon", "--port", &port_text, "--log", "info",
    ];
    let output = distflow(&start).output().unwrap();
    assert!(output.status.success());
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("--log-file"), "{errors}");
}
