//! Imports go down the layer picture of ARCHITECTURE.md only: never up, never sideways.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The picture, top to bottom. Modules of one line don't know each other.
const LAYERS: &[&[&str]] = &[
    &["bin"],
    &["cli"],
    &["lib"],
    &["interchange"],
    &["node"],
    &["pmd"],
    &["log", "json_crdt", "sessions"],
    &["net", "dispatch", "runtime", "lockfile", "storage", "mqtt"],
    &["canary"],
    &["fork", "park", "threads", "loopback"],
    &["registry", "node_state", "mailbox", "crdt", "session"],
    &["wire"],
    &["names"],
    &["error", "ids", "limits", "plant", "time"],
];

fn layer_of(module: &str) -> usize {
    LAYERS
        .iter()
        .position(|line| line.contains(&module))
        .unwrap_or_else(|| panic!("module '{module}' is not in the picture"))
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The module of the crate that a source file belongs to.
fn module_of(source: &Path, file: &Path) -> String {
    let first = file.strip_prefix(source).unwrap().components().next();
    let name = Path::new(first.unwrap().as_os_str());
    name.file_stem().unwrap().to_str().unwrap().to_owned()
}

/// The modules that a text names as `crate::module` or `distflow_core::module`, also within
/// braces (`use crate::{a, b::c};`).
fn imports(text: &str) -> Vec<String> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| format!("{line}\n"))
        .collect();
    let mut found = Vec::new();
    for prefix in ["crate::", "distflow_core::"] {
        for (at, _) in code.match_indices(prefix) {
            let rest = &code[at + prefix.len()..];
            if let Some(group) = rest.strip_prefix('{') {
                found.extend(members(group));
            } else {
                found.push(word(rest));
            }
        }
    }
    // Upper-case names are items of the crate's root: types and macros.
    found.retain(|name| name.starts_with(|first: char| first.is_ascii_lowercase()));
    found
}

/// The first word of each member of a brace group that was just opened.
fn members(group: &str) -> Vec<String> {
    let (mut depth, mut found, mut at_start) = (0, Vec::new(), true);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_start = true,
            _ if at_start && depth == 0 && !character.is_whitespace() => {
                found.push(word(&group[at..]));
                at_start = false;
            }
            _ => {}
        }
    }
    found
}

fn word(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect()
}

/// What is wrong with one file's imports.
fn violations(module: &str, text: &str) -> Vec<String> {
    let own = layer_of(module);
    let mut wrong = Vec::new();
    for import in imports(text) {
        if import != module && layer_of(&import) <= own {
            wrong.push(format!("{module} imports {import}"));
        }
    }
    wrong
}

#[test]
fn imports_only_go_down() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&source, &mut files);
    assert!(files.len() > 20, "the sources were not found");
    let mut wrong: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
    for file in files {
        let module = module_of(&source, &file);
        let text = std::fs::read_to_string(&file).unwrap();
        let found = violations(&module, &text);
        if !found.is_empty() {
            wrong.insert(file, found);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn machines_do_no_io() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let forbidden = [
        "std::net",
        "std::thread",
        "std::sync::Mutex",
        "parking_lot",
        "tokio::",
        "mio::",
        "Instant::now",
        "SystemTime",
        "tracing::",
        "uuid::",
        "std::fs",
        "libc::",
    ];
    let mut files = vec![source.join("mailbox.rs")];
    for machine in ["registry", "node_state", "wire"] {
        rust_files(&source.join(machine), &mut files);
    }
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for word in forbidden {
            assert!(!text.contains(word), "{} uses {word}", file.display());
        }
    }
}

#[test]
fn the_check_finds_what_it_should() {
    let up = violations("registry", "use crate::{limits, net::listen};");
    assert_eq!(up, ["registry imports net"]);
    let sideways = violations("mailbox", "let x = crate::registry::Registry;");
    assert_eq!(sideways, ["mailbox imports registry"]);
    assert!(violations("pmd", "use crate::{registry, wire::{frame, json}};").is_empty());
    assert!(violations("wire", "// crate::node is not known here").is_empty());
}
