//! The header is what the sources say, and says what a user has to know of every function.
//! `DISTFLOW_BLESS=1` (`make header`) writes it anew.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

use std::path::{Path, PathBuf};

/// The files with public items, in the order of the header.
const SOURCES: &[&str] = &[
    "version",
    "status",
    "last_error",
    "opaque",
    "bytes",
    "buf",
    "foreign",
    "peer",
    "message",
    "event",
    "node_options",
    "node",
    "node_send",
    "node_receive",
    "node_callbacks",
    "pmd",
    "pmd_client",
    "doc",
    "doc_read",
    "doc_write",
    "doc_sync",
    "doc_kept",
    "doc_events",
    "doc_tidy",
    "doc_inspect",
    "session",
    "session_play",
    "session_events",
    "session_list",
    "log",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn header_path() -> PathBuf {
    root().join("include/distflow.h")
}

fn generated() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(folder.join("cbindgen.toml")).unwrap();
    let mut builder = cbindgen::Builder::new().with_config(config);
    for source in SOURCES {
        builder = builder.with_src(folder.join("src").join(format!("{source}.rs")));
    }
    let mut header = Vec::new();
    builder
        .generate()
        .expect("cbindgen failed")
        .write(&mut header);
    without_safety(&String::from_utf8(header).unwrap())
}

/// Leaves out the sections for Rust's readers: in C, every pointer has to be right.
fn without_safety(header: &str) -> String {
    let mut out = String::new();
    let mut skips = false;
    for line in header.lines() {
        if line.trim() == "* # Safety" {
            skips = true;
            // The empty comment line before it.
            let shorter = out.trim_end_matches(" *\n").len();
            out.truncate(shorter);
        }
        skips &= line.trim() != "*/";
        if !skips {
            // Markdown's quotes mean nothing to readers of C.
            out.push_str(&line.replace('`', ""));
            out.push('\n');
        }
    }
    out
}

#[test]
fn the_header_is_up_to_date() {
    let wanted = generated();
    if std::env::var_os("DISTFLOW_BLESS").is_some() {
        std::fs::write(header_path(), &wanted).unwrap();
        return;
    }
    let committed = std::fs::read_to_string(header_path()).unwrap();
    if let Some((number, (is, should))) = committed
        .lines()
        .zip(wanted.lines())
        .enumerate()
        .find(|(_, (is, should))| is != should)
    {
        panic!(
            "include/distflow.h, line {}: is '{is}', should be '{should}'; run `make header`",
            number + 1
        );
    }
    assert_eq!(committed, wanted, "run `make header`");
}

#[test]
fn every_source_with_public_items_is_in_the_header() {
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let exports = text.contains("#[unsafe(no_mangle)]") || text.contains("#[repr(C)]");
        assert!(
            !exports || SOURCES.contains(&stem),
            "{} is missing in SOURCES",
            path.display()
        );
    }
}

#[test]
fn every_function_says_who_owns_what_whether_it_blocks_and_what_it_returns() {
    let header = std::fs::read_to_string(header_path()).unwrap();
    let mut comment = String::new();
    let mut functions = 0;
    for line in header.lines() {
        if line.starts_with("/**") {
            comment.clear();
        }
        comment.push_str(line);
        comment.push('\n');
        let Some(at) = line.find(" distflow_").or_else(|| line.find("*distflow_")) else {
            continue;
        };
        let name = &line[at + 1..];
        let is_declaration =
            !line.starts_with([' ', '/', '#', '}']) && !line.starts_with("typedef");
        if !is_declaration || !name.contains('(') {
            continue;
        }
        functions += 1;
        for word in ["Ownership:", "Blocks:", "In a callback:", "Statuses:"] {
            assert!(comment.contains(word), "{name} does not say '{word}'");
        }
        let constants = std::fs::read_to_string(root().join("ffi/src/status.rs")).unwrap();
        let statuses = comment.split("Statuses:").nth(1).unwrap();
        for word in statuses.split(|c: char| !(c.is_ascii_uppercase() || c == '_')) {
            let is_status = word.len() > 1 && word.chars().any(|c| c.is_ascii_uppercase());
            let constant = format!(
                "pub const DISTFLOW_{}:",
                word.trim_start_matches("DISTFLOW_")
            );
            assert!(
                !is_status || ["DISTFLOW_", "PMD"].contains(&word) || constants.contains(&constant),
                "{name} names the status '{word}', which does not exist"
            );
        }
        comment.clear();
    }
    assert!(functions >= 40, "only {functions} functions were found");
}

#[test]
fn versions_agree() {
    let header = std::fs::read_to_string(header_path()).unwrap();
    let define = |name: &str| {
        let start = format!("#define {name} ");
        let line = header.lines().find_map(|line| line.strip_prefix(&start));
        line.unwrap_or_else(|| panic!("no {name}")).to_owned()
    };
    let parts = ["MAJOR", "MINOR", "PATCH"].map(|part| define(&format!("DISTFLOW_VERSION_{part}")));
    assert_eq!(parts.join("."), env!("CARGO_PKG_VERSION"));
    assert_eq!(
        define("DISTFLOW_VERSION"),
        format!("\"{}\"", env!("CARGO_PKG_VERSION"))
    );
    // The SONAME has the number of the ABI.
    let abi = define("DISTFLOW_ABI_VERSION");
    let build = std::fs::read_to_string(root().join("ffi/build.rs")).unwrap();
    assert!(build.contains(&format!("-soname,libdistflow.so.{abi}\"")));
    assert_eq!(abi, distflow::version::DISTFLOW_ABI_VERSION.to_string());
}
