//! What a send to a known peer costs the registry: nothing may pass between node and PMD.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use distflow_core::{Node, Overflow, Payload};

use crate::failure::{Result, failure};
use crate::frames;
use crate::samples::Samples;
use crate::setting::{PmdProcess, Setting};

const COUNT: u64 = 20_000;
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends through nodes whose connections to the PMD pass a relay that counts.
pub fn measure(setting: &Setting, samples: &mut Samples) -> Result<()> {
    let pmd = PmdProcess::start(setting, None)?;
    let bytes = Arc::new(AtomicU64::new(0));
    let port = relay(pmd.port, bytes.clone())?;
    let node = |alias: &str| {
        let node = Node::builder().alias(alias).pmd_port(port);
        let node = node
            .auto_start(false)
            .mailbox(COUNT as usize, Overflow::Block);
        node.start_blocking()
    };
    let (from, to) = (node("from")?, node("to")?);
    let payload = Payload::from_value(&"known")?;
    from.send_blocking("to", &payload, None)?;
    to.recv_timeout(Some(PATIENCE))?;
    let before = bytes.load(Ordering::SeqCst);
    if before == 0 {
        return Err(failure("the nodes did not use the relay"));
    }
    for _ in 0..COUNT {
        from.send_blocking("to", &payload, None)?;
    }
    for _ in 0..COUNT {
        to.recv_timeout(Some(PATIENCE))?;
    }
    let passed = bytes.load(Ordering::SeqCst) - before;
    samples.add("known_peer.bytes", passed as f64 / COUNT as f64);
    from.shutdown_blocking()?;
    Ok(to.shutdown_blocking()?)
}

/// Passes connections on to a port and counts the bytes of both directions.
fn relay(to: u16, bytes: Arc<AtomicU64>) -> Result<u16> {
    // Nodes dial `localhost`, which is this address as well.
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            if let Ok(server) = frames::connect(to)
                && client.set_nodelay(true).is_ok()
            {
                pass(&client, &server, &bytes);
                pass(&server, &client, &bytes);
            }
        }
    });
    Ok(port)
}

fn pass(from: &TcpStream, to: &TcpStream, bytes: &Arc<AtomicU64>) {
    let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else {
        return;
    };
    let bytes = bytes.clone();
    std::thread::spawn(move || {
        let mut buffer = [0; 4_096];
        while let Ok(read) = from.read(&mut buffer) {
            bytes.fetch_add(read as u64, Ordering::SeqCst);
            if read == 0 || to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}
