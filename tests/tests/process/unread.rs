//! Commands that serve, whose output nobody reads.

use std::io::{BufRead, BufReader, PipeReader};
use std::os::fd::AsRawFd;
use std::process::{Child, ExitStatus, Stdio};

use distflow_core::PmdClient;
use distflow_tests::{LIMIT, OriginalClient, wait_until};

use crate::nodes::distflow;

/// Ended with the test.
struct Unread {
    process: Child,
    /// Nobody reads what is in them from some point on.
    _pipes: [PipeReader; 2],
    port: u16,
}

impl Unread {
    /// Starts a PMD whose pipes hold little, and reads until it says that it serves.
    fn start(options: &[&str]) -> Self {
        let mut command = distflow(&["pmd", "start", "--port", "0"]);
        command.args(options);
        let pipe = || {
            let (reader, writer) = std::io::pipe().unwrap();
            // SAFETY: the descriptor is open, and the call changes its size only.
            assert!(unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETPIPE_SZ, 4096) } > 0);
            (reader, writer)
        };
        let ((out, to_out), (err, to_err)) = (pipe(), pipe());
        command
            .stdout(Stdio::from(to_out))
            .stderr(Stdio::from(to_err));
        let process = command.spawn().unwrap();
        drop(command);
        let lines = BufReader::new(out.try_clone().unwrap()).lines();
        let port = lines
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("PMD started on port ")?.parse().ok());
        Self {
            process,
            _pipes: [out, err],
            port: port.unwrap(),
        }
    }

    fn is_told(&mut self, signal: i32) -> ExitStatus {
        // SAFETY: the process is a child of this one that was not waited for.
        unsafe { libc::kill(self.process.id() as i32, signal) };
        let mut status = None;
        assert!(wait_until(LIMIT, || {
            status = self.process.try_wait().unwrap();
            status.is_some()
        }));
        status.unwrap()
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_pmd_serves_on_whatever_it_has_to_say() {
    let mut pmd = Unread::start(&["--log", "debug"]);
    for number in 0..300 {
        let mut node = OriginalClient::connect(pmd.port);
        node.register(&format!("n{number}"), &format!("a{number}"), 4_000);
        // Each says more than one line on both streams, and pipes hold less than fifty.
        node.send_text("no request");
    }
    let mut client = PmdClient::connect("localhost", pmd.port).unwrap();
    assert!(wait_until(LIMIT, || client.list(None).unwrap().is_empty()));
    drop(client);
    assert_eq!(pmd.is_told(libc::SIGTERM).code(), Some(0));
}
