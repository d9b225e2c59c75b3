//! The ABI only grows: what the library exports, the header declares and the frozen lists in
//! `ffi/abi` say is the same, and what a kept header says still holds.
//!
//! `DISTFLOW_BLESS=1` writes the lists anew, for additions; a kept header is never changed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use distflow_tests::{CProgram, TempFolder, distflow_library, project_folder};

/// A header, taken apart.
struct Header {
    /// Prototypes of functions and function types, one line each.
    functions: BTreeSet<String>,
    /// `name value` of every number.
    constants: BTreeSet<String>,
    /// Members of every struct, in order.
    structs: Vec<(String, Vec<String>)>,
}

/// Structs that say their own size and may grow at the end.
const SIZED: &[&str] = &[
    "distflow_node_options",
    "distflow_pmd_options",
    "distflow_stats",
];

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The name in front of the first bracket, or within the first pair of brackets.
fn name_of(prototype: &str) -> &str {
    let before = prototype.split('(').next().unwrap();
    let words = if prototype.starts_with("typedef") {
        prototype
            .split("(*")
            .nth(1)
            .unwrap()
            .split(')')
            .next()
            .unwrap()
    } else {
        before
    };
    words.rsplit([' ', '*']).next().unwrap()
}

impl Header {
    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut code = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once("/*") {
            code.push_str(before);
            rest = after.split_once("*/").unwrap().1;
        }
        code.push_str(rest);
        let mut header = Self {
            functions: BTreeSet::new(),
            constants: BTreeSet::new(),
            structs: Vec::new(),
        };
        let mut declarations = String::new();
        for line in code.lines() {
            if let Some(define) = line.strip_prefix("#define ") {
                if let Some((name, value)) = define.split_once(' ')
                    && !name.starts_with("DISTFLOW_VERSION")
                {
                    header.constants.insert(format!("{name} {value}"));
                }
            } else if !line.starts_with('#') && !line.contains("extern \"C\"") {
                declarations.push_str(line);
                declarations.push('\n');
            }
        }
        let mut rest = declarations.as_str();
        while let Some((statement, after)) = rest.split_once(';') {
            rest = after;
            let statement = one_line(statement);
            if let Some((head, first)) = statement.split_once('{') {
                let name = head.trim().rsplit(' ').next().unwrap().to_owned();
                let mut members = vec![first.trim().to_owned()];
                loop {
                    let (member, after) = rest.split_once(';').unwrap();
                    rest = after;
                    if member.trim_start().starts_with('}') {
                        break;
                    }
                    members.push(one_line(member));
                }
                header.structs.push((name, members));
            } else if statement.contains('(') {
                header.functions.insert(statement);
            }
        }
        header
    }

    fn exported(&self) -> BTreeSet<&str> {
        let functions = self.functions.iter().map(String::as_str);
        functions
            .filter(|function| !function.starts_with("typedef"))
            .map(name_of)
            .collect()
    }

    /// `struct member` of every member.
    fn members(&self) -> Vec<(String, String)> {
        let members = |(name, members): &(String, Vec<String>)| {
            let name = name.clone();
            members.clone().into_iter().map(move |member| {
                let last = member.rsplit([' ', '*']).next().unwrap().to_owned();
                let field = last.split('[').next().unwrap().to_owned();
                (name.clone(), field)
            })
        };
        self.structs.iter().flat_map(members).collect()
    }
}

fn current() -> Header {
    Header::read(&project_folder().join("include/distflow.h"))
}

/// Compares with a list in `ffi/abi`, or writes it.
fn compare(file: &str, lines: impl IntoIterator<Item = String>) {
    let path = project_folder().join("ffi/abi").join(file);
    let lines: String = lines.into_iter().map(|line| line + "\n").collect();
    if std::env::var_os("DISTFLOW_BLESS").is_some() {
        std::fs::write(&path, lines).unwrap();
        return;
    }
    let frozen = std::fs::read_to_string(&path).unwrap_or_default();
    for line in frozen.lines() {
        assert!(
            lines.lines().any(|other| other == line),
            "ffi/abi/{file}: '{line}' is gone or has changed, which breaks programs"
        );
    }
    for line in lines.lines() {
        assert!(
            frozen.lines().any(|other| other == line),
            "ffi/abi/{file} does not have '{line}'; if it is a deliberate addition, run \
             `make header`"
        );
    }
    assert_eq!(frozen, lines);
}

/// The compiler's view of every struct: `struct size align`, then `struct.member offset size`.
fn layout(include: &Path, header: &Header) -> Vec<String> {
    let mut text = String::from("#include <stdio.h>\n#include <distflow.h>\nint main(void) {\n");
    for (name, _) in &header.structs {
        text.push_str(&format!(
            "printf(\"{name} %zu %zu\\n\", sizeof(struct {name}), _Alignof(struct {name}));\n"
        ));
    }
    for (name, member) in header.members() {
        text.push_str(&format!(
            "printf(\"{name}.{member} %zu %zu\\n\", offsetof(struct {name}, {member}), \
             sizeof(((struct {name} *)0)->{member}));\n"
        ));
    }
    text.push_str("return 0;\n}\n");
    let folder = TempFolder::new();
    let source = folder.path().join("layout.c");
    let program = folder.path().join("layout");
    std::fs::write(&source, text).unwrap();
    let status = Command::new("cc")
        .args(["-std=c11", "-Wall", "-Werror", "-I"])
        .arg(include)
        .arg(&source)
        .arg("-o")
        .arg(&program)
        .status()
        .unwrap();
    assert!(status.success());
    let output = Command::new(&program).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(str::to_owned).collect()
}

#[test]
fn what_is_exported_is_what_the_header_declares() {
    let output = Command::new("nm")
        .args(["-D", "--defined-only", "--format=posix"])
        .arg(distflow_library())
        .output()
        .expect("nm is missing: apt-get install binutils");
    let symbols = String::from_utf8(output.stdout).unwrap();
    let symbols: BTreeSet<&str> = symbols
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    let header = current();
    assert_eq!(symbols, header.exported());
    assert!(symbols.iter().all(|symbol| symbol.starts_with("distflow_")));
    compare("symbols.txt", symbols.into_iter().map(str::to_owned));
}

#[test]
fn prototypes_numbers_and_layouts_are_those_of_the_frozen_lists() {
    let header = current();
    assert!(header.structs.len() >= 10 && header.constants.len() >= 40);
    compare("functions.txt", header.functions.iter().cloned());
    compare("constants.txt", header.constants.iter().cloned());
    let layout = layout(&project_folder().join("include"), &header);
    compare("layout.txt", layout);
}

/// Headers of earlier versions, each with a program of its time.
fn kept() -> Vec<PathBuf> {
    let folder = project_folder().join("tests/abi");
    let mut folders: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    assert!(!folders.is_empty());
    folders
}

#[test]
fn what_a_kept_header_says_still_holds() {
    let now = current();
    let layout_now = layout(&project_folder().join("include"), &now);
    for folder in kept() {
        let then = Header::read(&folder.join("distflow.h"));
        if let Some(line) = then.functions.difference(&now.functions).next() {
            panic!("{}: '{line}' has changed", folder.display());
        }
        if let Some(line) = then.constants.difference(&now.constants).next() {
            panic!("{}: '{line}' has changed", folder.display());
        }
        for line in layout(&folder, &then) {
            let name = line.split([' ', '.']).next().unwrap();
            let may_grow = SIZED.contains(&name) && !line.contains('.');
            // What was kept free may have a name by now; the size of the whole says the rest.
            let used = line
                .strip_prefix(&format!("{name}.reserved "))
                .is_some_and(|free| {
                    let at = free.split(' ').next().unwrap();
                    let mut members = layout_now
                        .iter()
                        .filter(|now| now.starts_with(&format!("{name}.")));
                    members.any(|now| now.split(' ').nth(1) == Some(at))
                });
            assert!(
                may_grow || used || layout_now.contains(&line),
                "{}: '{line}' has changed",
                folder.display()
            );
        }
    }
}

#[test]
fn a_program_compiled_with_a_kept_header_runs_with_this_library() {
    for folder in kept() {
        let temp = TempFolder::new();
        let program = CProgram::compile_with(
            &folder,
            folder.join("program.c").to_str().unwrap(),
            temp.path(),
            &[],
        );
        let output = program.command().output().unwrap();
        assert!(
            output.status.success(),
            "{}: {}{}",
            folder.display(),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(
            String::from_utf8_lossy(&output.stdout).trim(),
            "all is as it was"
        );
    }
}

#[test]
fn the_library_has_its_soname_and_stays_mapped() {
    let output = Command::new("readelf")
        .arg("-dW")
        .arg(distflow_library())
        .output()
        .expect("readelf is missing: apt-get install binutils");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("Library soname: [libdistflow.so.1]"),
        "{text}"
    );
    assert!(text.contains("NODELETE"), "{text}");
    // Nothing that would have to be installed beside it.
    for line in text.lines().filter(|line| line.contains("(NEEDED)")) {
        let known = ["libc.so", "libgcc_s.so", "libm.so", "ld-linux"];
        assert!(known.iter().any(|name| line.contains(name)), "{line}");
    }
}
