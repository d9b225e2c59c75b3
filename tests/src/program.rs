//! Where the `distflow` program is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// Path of the `distflow` program of this build. A build of the whole workspace has made it;
/// when only this package was built, it is missing or out of date and made now, once.
pub fn distflow_program() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(find_or_build).clone()
}

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../core/src");

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path)
        .and_then(|meta| meta.modified())
        .ok()
}

/// When the newest file in a folder was written.
fn newest(folder: &Path) -> SystemTime {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let times = entries.map(|entry| match entry.path() {
        path if path.is_dir() => newest(&path),
        path => modified(&path).unwrap_or(SystemTime::UNIX_EPOCH),
    });
    times.max().unwrap_or(SystemTime::UNIX_EPOCH)
}

fn find_or_build() -> PathBuf {
    let test = std::env::current_exe().expect("no path of the test program");
    // target/<profile>/deps/<test>
    let folder = test
        .ancestors()
        .find(|folder| folder.ends_with("deps"))
        .and_then(|deps| deps.parent())
        .or(test.parent())
        .expect("the test program is in no folder");
    let program = folder.join(format!("distflow{}", std::env::consts::EXE_SUFFIX));
    if modified(&program).is_some_and(|built| built >= newest(Path::new(SOURCES))) {
        return program;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build
        .args(["build", "-p", "distflow-core", "--bin", "distflow"])
        .args(["--features", "cli"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    if folder.ends_with("release") {
        build.arg("--release");
    }
    if let Some(target) = folder.parent() {
        build.env("CARGO_TARGET_DIR", target);
    }
    let status = build.status().expect("cannot run cargo");
    assert!(status.success(), "building the distflow program failed");
    assert!(
        program.is_file(),
        "no {} after building it",
        program.display()
    );
    program
}
