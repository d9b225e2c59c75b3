//! What `make install` installs, and that programs can be built with it in every way that
//! docs/c.md shows. The libraries of this build are installed, not a release build of their own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use distflow_tests::{
    Child, LIMIT, PmdProcess, TempFolder, distflow_library, distflow_program, free_port,
    project_folder,
};

use crate::page::{self, Block};

const LIBRARIES: &str = "LD_LIBRARY_PATH";

/// Runs a command that must succeed, and returns what it printed.
fn run(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}; make setup"));
    let text = String::from_utf8_lossy(&stdout).into_owned();
    let errors = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{command:?}:\n{text}{errors}");
    text
}

fn make(target: &str, prefix: &Path) -> String {
    // Both are in the folder of this build.
    let program = distflow_program();
    let library = distflow_library();
    let built = library.parent().unwrap();
    assert_eq!(program.parent(), Some(built));
    run(Command::new("make")
        .arg("--silent")
        .arg("-C")
        .arg(project_folder())
        .arg(target)
        .arg(format!("PREFIX={}", prefix.display()))
        .arg(format!("BUILT={}", built.display())))
}

/// An installed prefix, which was moved after it was installed.
struct Installed {
    folder: TempFolder,
    prefix: PathBuf,
}

impl Installed {
    fn new() -> Self {
        let folder = TempFolder::new();
        let first = folder.path().join("first");
        let prefix = folder.path().join("moved");
        make("install", &first);
        std::fs::rename(first, &prefix).unwrap();
        Self { folder, prefix }
    }

    /// A shell in `folder` that finds the prefix as docs/c.md says.
    fn shell(&self, folder: &Path, script: &str) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-e", "-u", "-c", script])
            .current_dir(folder)
            .env("PKG_CONFIG_PATH", self.prefix.join("lib/pkgconfig"))
            .env("CMAKE_PREFIX_PATH", &self.prefix)
            .env(LIBRARIES, self.prefix.join("lib"));
        command
    }

    fn folder(&self, name: &str) -> PathBuf {
        let folder = self.folder.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        folder
    }

    /// A built `hello` talks with itself; `library` says where it finds the library, if anywhere.
    fn hello(&self, program: &Path, library: Option<&Path>) {
        let pmd = PmdProcess::start(env!("CARGO_BIN_EXE_embedded_pmd"), &[]);
        let port = pmd.port().to_string();
        let start = |arguments: &[&str]| {
            let mut command = Command::new(program);
            command.args(arguments).env_remove(LIBRARIES);
            if let Some(library) = library {
                command.env(LIBRARIES, library);
            }
            Child::spawn(command)
        };
        let receiver = start(&["receive", &port]);
        assert_eq!(receiver.line(), "ready");
        let mut sender = start(&["send", "hi", &port]);
        assert_eq!(sender.line(), "answer: \"hi\"");
        let status = sender.wait(LIMIT).expect("it goes on");
        assert!(status.success(), "{status}");
    }
}

#[test]
fn it_installs_what_it_says_and_takes_it_away() {
    let folder = TempFolder::new();
    let prefix = folder.path().join("prefix");
    make("install", &prefix);
    let version = env!("CARGO_PKG_VERSION");
    let link = |name: &str| std::fs::read_link(prefix.join("lib").join(name)).unwrap();
    assert_eq!(link("libdistflow.so"), Path::new("libdistflow.so.1"));
    let real = format!("libdistflow.so.{version}");
    assert_eq!(link("libdistflow.so.1"), Path::new(&real));
    for file in [
        "lib/libdistflow.a",
        "include/distflow.h",
        "include/distflow.hpp",
        "lib/cmake/distflow/distflow-config-version.cmake",
    ] {
        assert!(prefix.join(file).is_file(), "no {file}");
    }
    // Nothing says where it was installed, and every name was filled in.
    for file in [
        "lib/pkgconfig/distflow.pc",
        "lib/cmake/distflow/distflow-config.cmake",
    ] {
        let text = std::fs::read_to_string(prefix.join(file)).unwrap();
        assert!(!text.contains('@'), "{text}");
        assert!(!text.contains(prefix.to_str().unwrap()), "{text}");
        assert!(text.contains(version), "{text}");
    }
    assert_eq!(
        run(Command::new(prefix.join("bin/distflow")).arg("--version")),
        format!("distflow {version}\n")
    );
    // Installing again replaces.
    make("install", &prefix);
    let mine = prefix.join("lib/pkgconfig/other.pc");
    std::fs::write(&mine, "").unwrap();
    make("uninstall", &prefix);
    let left = run(Command::new("find").arg(&prefix).args(["!", "-type", "d"]));
    assert_eq!(left.trim(), mine.to_str().unwrap());
}

#[test]
fn programs_are_built_with_pkg_config_and_statically() {
    let installed = Installed::new();
    let folder = installed.folder("pkg-config");
    let example = project_folder().join("examples/c/hello.c");
    let cc = format!("cc '{}' -Wall -Wextra -Werror", example.display());
    run(&mut installed.shell(
        &folder,
        &format!("{cc} -o hello $(pkg-config --cflags --libs distflow)"),
    ));
    installed.hello(&folder.join("hello"), Some(&installed.prefix.join("lib")));
    run(&mut installed.shell(
        &folder,
        &format!(
            "{cc} -o hello-static $(pkg-config --cflags --libs --static distflow \
             | sed 's/-ldistflow/-l:libdistflow.a/')"
        ),
    ));
    installed.hello(&folder.join("hello-static"), None);
    let version = run(&mut installed.shell(&folder, "pkg-config --modversion distflow"));
    assert_eq!(version.trim(), env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_examples_are_built_with_make_and_cmake() {
    let installed = Installed::new();
    let folder = installed.folder("examples");
    let lib = installed.prefix.join("lib");
    let examples = project_folder().join("examples/c");
    let copy = format!("cp '{}'/* .", examples.display());
    run(&mut installed.shell(
        &folder,
        &format!("{copy}; make --silent all CFLAGS=-Werror"),
    ));
    installed.hello(&folder.join("hello"), Some(&lib));
    run(&mut installed.shell(
        &folder,
        "cmake -B build . && cmake --build build && make --silent clean",
    ));
    // CMake notes where the library is.
    installed.hello(&folder.join("build/hello"), None);
    installed.hello(&folder.join("build/hello-static"), None);
    assert!(!folder.join("hello").exists());
}

#[test]
fn the_page_builds_its_programs() {
    let installed = Installed::new();
    let folder = installed.folder("page");
    let blocks = page::blocks("docs/c.md");
    let named = |block: &&Block| block.file().is_some();
    let files: Vec<_> = blocks.iter().filter(named).collect();
    assert!(files.len() >= 4, "the page names too few files");
    for block in files {
        std::fs::write(folder.join(block.file().unwrap()), &block.text).unwrap();
    }
    let mut scripts = 0;
    for block in blocks {
        match block.language.as_str() {
            "sh" => {
                run(&mut installed.shell(&folder, &block.text));
                scripts += 1;
            }
            // Compiled elsewhere; files; what is shown and not run.
            "c" | "cpp" | "cmake" | "console" => {}
            other => panic!("line {}: a block is '{other}'", block.line),
        }
    }
    assert!(scripts >= 4, "the page shows too few commands");
    for program in ["billing", "build/billing", "hello"] {
        assert!(folder.join(program).is_file(), "no {program}");
    }
}

/// A program of an installed prefix launches the PMD that was installed with its library.
#[test]
fn an_installed_program_finds_the_pmd_beside_the_library() {
    let installed = Installed::new();
    let folder = installed.folder("launch");
    let example = project_folder().join("examples/c/hello.c");
    run(&mut installed.shell(
        &folder,
        &format!(
            "cc '{}' -o hello $(pkg-config --cflags --libs distflow)",
            example.display()
        ),
    ));
    let port = free_port().to_string();
    let mut command = Command::new(folder.join("hello"));
    command
        .args(["receive", &port])
        .env_remove("DISTFLOW_PMD")
        .env("PATH", "/nonexistent")
        .env(LIBRARIES, installed.prefix.join("lib"));
    let mut receiver = Child::spawn(command);
    assert_eq!(receiver.line(), "ready");
    let program = installed.prefix.join("bin/distflow");
    let listed = run(Command::new(&program).args(["pmd", "list", "--port", &port]));
    assert!(listed.contains("hello"), "{listed}");
    receiver.kill();
    run(Command::new(&program).args(["pmd", "kill", "--port", &port]));
}
