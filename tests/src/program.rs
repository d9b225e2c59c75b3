//! Where the `distflow` program and `libdistflow` of this build are.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// Path of the `distflow` program of this build. A build of the whole workspace has made it;
/// when only this package was built, it is missing or out of date and made now, once.
pub fn distflow_program() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let name = format!("distflow{}", std::env::consts::EXE_SUFFIX);
    let build = [
        "-p",
        "distflow-core",
        "--bin",
        "distflow",
        "--features",
        "cli",
    ];
    PROGRAM
        .get_or_init(|| find_or_build(&name, &["core/src"], &build))
        .clone()
}

/// Path of `libdistflow.so` of this build, with `libdistflow.a` beside it; made if need be.
pub fn distflow_library() -> PathBuf {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    let sources = ["core/src", "ffi/src"];
    LIBRARY
        .get_or_init(|| find_or_build("libdistflow.so", &sources, &["-p", "distflow-ffi"]))
        .clone()
}

/// The folder of the project.
pub fn project_folder() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the package is in no folder").into()
}

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

fn find_or_build(name: &str, sources: &[&str], build: &[&str]) -> PathBuf {
    let test = std::env::current_exe().expect("no path of the test program");
    // target/<profile>/deps/<test>
    let folder = test
        .ancestors()
        .find(|folder| folder.ends_with("deps"))
        .and_then(|deps| deps.parent())
        .or(test.parent())
        .expect("the test program is in no folder");
    let made = folder.join(name);
    let sources = sources.iter().map(|source| project_folder().join(source));
    let changed = sources.map(|source| newest(&source)).max();
    if modified(&made) >= changed && made.is_file() {
        return made;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .arg("build")
        .args(build)
        .current_dir(project_folder());
    if folder.ends_with("release") {
        command.arg("--release");
    }
    if let Some(target) = folder.parent() {
        command.env("CARGO_TARGET_DIR", target);
    }
    let status = command.status().expect("cannot run cargo");
    assert!(status.success(), "building {name} failed");
    assert!(made.is_file(), "no {} after building it", made.display());
    made
}
