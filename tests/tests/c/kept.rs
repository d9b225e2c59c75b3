//! `examples/c/kept.c`: what it printed is there, whenever and however often it is killed.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use distflow_tests::{CProgram, TempFolder};

struct Kept {
    program: CProgram,
    folder: TempFolder,
}

impl Kept {
    fn new() -> Self {
        let folder = TempFolder::new();
        let strict = ["-Wconversion", "-Wshadow"];
        Self {
            program: CProgram::compile("examples/c/kept.c", folder.path(), &strict),
            folder,
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.program.command();
        command
            .arg(self.folder.path().join("a \"notebook\""))
            .args(arguments);
        command
    }

    /// The entries, in order.
    fn list(&self) -> Vec<String> {
        let output = self.command(&["list"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let entry = |line: &str| serde_json::from_str::<String>(line).unwrap();
        text.lines().map(entry).collect()
    }

    /// Feeds it without end, and kills it once it has printed so many lines. Gives all it printed.
    fn kill_after(&self, round: usize, lines: usize) -> Vec<String> {
        let mut command = self.command(&[]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let feed = std::thread::spawn(move || {
            // Ends with the program.
            for number in 0_u64.. {
                if writeln!(stdin, "round {round}, line {number}").is_err() {
                    break;
                }
            }
        });
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut printed = String::new();
        for _ in 0..lines {
            assert_ne!(stdout.read_line(&mut printed).unwrap(), 0, "it has ended");
        }
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), None, "it ended before it was killed");
        stdout.read_to_string(&mut printed).unwrap();
        feed.join().unwrap();
        printed.lines().map(str::to_owned).collect()
    }
}

#[test]
fn what_was_printed_survives_kills() {
    let kept = Kept::new();
    let mut printed = Vec::new();
    for (round, lines) in [1, 700, 0, 33, 2_000, 250].into_iter().enumerate() {
        let new = kept.kill_after(round, lines);
        assert!(new.len() >= lines);
        printed.extend(new);
        let listed = kept.list();
        let found: HashSet<&str> = listed.iter().map(String::as_str).collect();
        assert_eq!(found.len(), listed.len(), "an entry is there twice");
        for line in &printed {
            assert!(found.contains(line.as_str()), "'{line}' was lost");
        }
        // The last one may have been written down and not printed, once for each round.
        assert!(listed.len() <= printed.len() + round + 1);
    }
    // They are in their order, but for those.
    let printed_set: HashSet<&str> = printed.iter().map(String::as_str).collect();
    let mut listed = kept.list();
    listed.retain(|line| printed_set.contains(line.as_str()));
    assert_eq!(listed, printed);
}

#[test]
fn a_notebook_is_written_by_one_process_at_a_time() {
    let kept = Kept::new();
    let mut first = distflow_tests::Child::spawn(kept.command(&[]));
    first.write_line("quotes \" and \\, a tab \t, ä");
    assert_eq!(first.line(), "quotes \" and \\, a tab \t, ä");
    let output = kept.command(&["list"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.ends_with("(already_running)\n"), "{text}");
    assert_eq!(output.status.code(), Some(1));
    first.close_stdin();
    let status = first.wait(distflow_tests::LIMIT).unwrap();
    assert!(status.success(), "{status}");
    assert_eq!(kept.list(), ["quotes \" and \\, a tab \t, ä"]);
    for wrong in [&["x"][..], &["list", "more"]] {
        let output = kept.command(wrong).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(output.stderr.starts_with(b"usage: "), "{wrong:?}");
    }
}
