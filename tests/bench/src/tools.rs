//! The yardsticks that are not Rust: found, installed if allowed, and compiled.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::{Result, failure};

/// A small C program around libzmq.
const ZMQ_SOURCE: &str = include_str!("../yardsticks/yardstick_zmq.c");
/// Two Erlang nodes.
const ERLANG_SOURCE: &str = include_str!("../yardsticks/yardstick_erlang.erl");

/// What there is to compare with.
#[derive(Debug, Default)]
pub struct Tools {
    /// The compiled libzmq program.
    pub zmq: Option<PathBuf>,
    /// The folder with the compiled Erlang module.
    pub erlang: Option<PathBuf>,
    /// The compiled program that uses distflow from C.
    pub c: Option<PathBuf>,
    /// What is missing, and why.
    pub missing: Vec<String>,
}

impl Tools {
    /// Finds, installs and compiles what it can; what fails is noted as missing. `profile` is the
    /// folder with `libdistflow.so`.
    pub fn prepare(work: &Path, profile: &Path, install: bool) -> Result<Self> {
        std::fs::create_dir_all(work)?;
        let mut tools = Self::default();
        let has_zmq = Path::new("/usr/include/zmq.h").exists();
        let has_erlang = runs("erlc", &["-help"]) && runs("epmd", &["-help"]);
        if install && !(has_zmq && has_erlang) {
            apt_install();
        }
        match compile_c(work, profile) {
            Ok(program) => tools.c = Some(program),
            Err(error) => tools.missing.push(format!("the C ABI (cc): {error}")),
        }
        match compile_zmq(work) {
            Ok(program) => tools.zmq = Some(program),
            Err(error) => tools
                .missing
                .push(format!("libzmq (libzmq3-dev, cc): {error}")),
        }
        match compile_erlang(work) {
            Ok(folder) => tools.erlang = Some(folder),
            Err(error) => tools.missing.push(format!("erlang (erlang-base): {error}")),
        }
        Ok(tools)
    }
}

fn runs(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}

/// Best effort: without network or package lists the yardsticks stay missing.
fn apt_install() {
    eprintln!("installing the yardsticks' packages: erlang-base libzmq3-dev");
    let apt = |words: &[&str]| {
        let _ = Command::new("apt-get")
            .args(words)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
    };
    apt(&["update", "-qq"]);
    let install = ["install", "-qq", "-y", "--no-install-recommends"];
    apt(&[&install[..], &["erlang-base", "libzmq3-dev"]].concat());
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().next().unwrap_or("it failed");
    Err(failure(line.to_owned()))
}

fn compile_c(work: &Path, profile: &Path) -> Result<PathBuf> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = work.join("distflow_c");
    // The SONAME, which the build folder does not have as a file.
    let link = work.join("libdistflow.so.1");
    let _ = std::fs::remove_file(&link);
    std::os::unix::fs::symlink(std::path::absolute(profile)?.join("libdistflow.so"), &link)?;
    let mut run_path = std::ffi::OsString::from("-Wl,-rpath,");
    run_path.push(std::path::absolute(work)?);
    run(Command::new("cc")
        .args(["-O2", "-pthread", "-o"])
        .arg(&program)
        .arg("-I")
        .arg(package.join("../../include"))
        .arg(package.join("c/distflow_c.c"))
        .arg("-L")
        .arg(profile)
        .arg("-ldistflow")
        .arg(run_path))?;
    Ok(program)
}

fn compile_zmq(work: &Path) -> Result<PathBuf> {
    let source = work.join("yardstick_zmq.c");
    let program = work.join("yardstick_zmq");
    std::fs::write(&source, ZMQ_SOURCE)?;
    run(Command::new("cc")
        .args(["-O2", "-o"])
        .arg(&program)
        .arg(&source)
        .arg("-lzmq"))?;
    Ok(program)
}

fn compile_erlang(work: &Path) -> Result<PathBuf> {
    let source = work.join("yardstick_erlang.erl");
    std::fs::write(&source, ERLANG_SOURCE)?;
    run(Command::new("erlc").arg("-o").arg(work).arg(&source))?;
    if runs("epmd", &["-help"]) {
        Ok(work.to_owned())
    } else {
        Err(failure("epmd is missing"))
    }
}
