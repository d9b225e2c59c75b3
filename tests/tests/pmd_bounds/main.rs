//! What a PMD withstands: bad bytes, peers that do not read, and more of everything than it
//! was made for. In every case the others are served as if nothing were.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod frames;
mod limits;
mod queues;

use std::net::SocketAddr;

use distflow_core::pmd::PmdOptions;
use distflow_tests::{OriginalClient, PmdProcess};
use socket2::{Domain, Socket, Type};

/// Options of a PMD on a free port.
fn options() -> PmdOptions {
    PmdOptions {
        port: 0,
        ..PmdOptions::default()
    }
}

/// A PMD in a process of its own, to be measured.
fn pmd_process(options: &[&str]) -> PmdProcess {
    PmdProcess::start(env!("CARGO_BIN_EXE_embedded_pmd"), options)
}

/// A connection whose kernel buffer for what the PMD sends is as small as it can be.
fn narrow_client(port: u16) -> OriginalClient {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(1).unwrap();
    let address: SocketAddr = ([127, 0, 0, 1], port).into();
    socket.connect(&address.into()).unwrap();
    OriginalClient::over(socket.into())
}

const MIB: u64 = 1 << 20;
