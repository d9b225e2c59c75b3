//! A PMD whose one thread can be held at a known place, to order what is a race otherwise.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use distflow_core::pmd::{PmdOptions, Server, ServerNotice};
use distflow_core::registry::Notice;

use crate::wait::LIMIT;

/// A PMD that stops while it handles the registration of the node `gate`, until it is told to
/// go on. Meanwhile everything that reaches its sockets waits in the kernel.
pub struct GatedPmd {
    port: u16,
    stop: Box<dyn Fn() + Send>,
    reached: Receiver<()>,
    go_on: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl GatedPmd {
    /// Id of the node at whose registration the PMD stops.
    pub const GATE: &str = "gate";

    /// Starts it.
    pub fn start(options: PmdOptions) -> Self {
        let server = Server::bind(options).expect("cannot start the PMD");
        let (port, control) = (server.port(), server.control());
        let (reached_sender, reached) = channel();
        let (go_on, gate) = channel();
        let thread = std::thread::spawn(move || {
            let result = server.run(|notice| {
                if let ServerNotice::Registry(Notice::Joined(node)) = notice
                    && node.node_id.as_str() == Self::GATE
                {
                    let _ = reached_sender.send(());
                    let _ = gate.recv_timeout(LIMIT);
                }
            });
            result.expect("the PMD failed");
        });
        Self {
            port,
            stop: Box::new(move || control.stop()),
            reached,
            go_on,
            thread: Some(thread),
        }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits until it stands at the gate.
    pub fn wait_at_gate(&self) {
        self.reached
            .recv_timeout(LIMIT)
            .expect("nobody registered the gate");
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        self.go_on.send(()).expect("the PMD ended");
    }
}

impl Drop for GatedPmd {
    fn drop(&mut self) {
        let _ = self.go_on.send(());
        (self.stop)();
        if let Some(thread) = self.thread.take() {
            let result = thread.join();
            assert!(
                result.is_ok() || std::thread::panicking(),
                "the PMD's thread panicked"
            );
        }
    }
}
