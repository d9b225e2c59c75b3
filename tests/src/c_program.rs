//! C and C++ programs: compiled against the header and library of this build, and run.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::{distflow_library, distflow_program, project_folder};

/// Warnings that the header and every program have to do without.
const WARNINGS: &[&str] = &["-Wall", "-Wextra", "-Wpedantic", "-Werror"];

/// A compiled program.
#[derive(Debug, Clone)]
pub struct CProgram(PathBuf);

impl CProgram {
    /// Compiles one source file (a path within the project) into `folder`, with further options
    /// of the compiler. A name that ends with `.cpp` is C++17, any other C11.
    pub fn compile(source: &str, folder: &Path, options: &[&str]) -> Self {
        let include = project_folder().join("include");
        Self::compile_with(&include, source, folder, options)
    }

    /// Like [`CProgram::compile`], with the header of another folder.
    pub fn compile_with(include: &Path, source: &str, folder: &Path, options: &[&str]) -> Self {
        let source = project_folder().join(source);
        let is_cpp = source
            .extension()
            .is_some_and(|extension| extension == "cpp");
        let (compiler, standard) = if is_cpp {
            ("c++", "-std=c++17")
        } else {
            ("cc", "-std=c11")
        };
        let program = folder.join(source.file_stem().expect("a source without a name"));
        let library = distflow_library();
        let mut command = Command::new(compiler);
        command
            .arg(standard)
            .args(["-g", "-pthread", "-D_GNU_SOURCE"])
            .args(WARNINGS)
            .arg("-I")
            .arg(include)
            .arg(&source)
            .arg("-o")
            .arg(&program)
            .arg("-L")
            .arg(library.parent().expect("the library is in no folder"))
            .arg("-ldistflow")
            .args(options);
        let output = command
            .output()
            .unwrap_or_else(|error| panic!("cannot run {compiler}: {error}"));
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{command:?} failed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Self(program)
    }

    /// The command that runs it.
    pub fn command(&self) -> Command {
        self.prepare(Command::new(&self.0))
    }

    /// The command that runs it within another program, such as valgrind with its options.
    pub fn command_within(&self, program: &str, options: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(options).arg(&self.0);
        self.prepare(command)
    }

    /// Lets the program find the library, and the library the `distflow` program of this build.
    fn prepare(&self, mut command: Command) -> Command {
        // The SONAME, which the build folder does not have as a file.
        let folder = self.0.parent().expect("the program is in no folder");
        let link = folder.join("libdistflow.so.1");
        if !link.exists() {
            // Another test may make it at the same time; either is right.
            let _ = std::os::unix::fs::symlink(distflow_library(), &link);
        }
        command
            .env("LD_LIBRARY_PATH", folder)
            .env("DISTFLOW_PMD", distflow_program());
        command
    }

    /// Where the program is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}
