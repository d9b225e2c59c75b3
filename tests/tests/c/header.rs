//! The header as compilers see it.

use std::process::Command;

use distflow_tests::{TempFolder, project_folder};

/// Compiles a text without linking; every warning is an error.
fn compile(compiler: &str, standard: &str, extension: &str, text: &str) {
    let folder = TempFolder::new();
    let source = folder.path().join(format!("include.{extension}"));
    std::fs::write(&source, text).unwrap();
    let warnings = [
        "-Wall",
        "-Wextra",
        "-Wpedantic",
        "-Wconversion",
        "-Wshadow",
        "-Wundef",
        "-Werror",
    ];
    let strict: &[&str] = if extension == "c" {
        &["-Wstrict-prototypes", "-Wc++-compat"]
    } else {
        &["-Wold-style-cast", "-Wzero-as-null-pointer-constant"]
    };
    let output = Command::new(compiler)
        .arg(format!("-std={standard}"))
        .args(warnings)
        .args(strict)
        .arg("-I")
        .arg(project_folder().join("include"))
        .arg("-c")
        .arg(&source)
        .arg("-o")
        .arg(folder.path().join("include.o"))
        .output()
        .unwrap_or_else(|error| panic!("cannot run {compiler}: {error}"));
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{compiler} -std={standard}:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn it_compiles_alone_and_twice_as_c_and_cpp() {
    let once = "#include <distflow.h>\nint distflow_test_once;\n";
    let twice = "#include <distflow.h>\n#include <distflow.h>\nint distflow_test_twice;\n";
    for text in [once, twice] {
        compile("cc", "c11", "c", text);
        compile("cc", "c17", "c", text);
        compile("c++", "c++17", "cpp", text);
        compile("c++", "c++20", "cpp", text);
    }
}
