//! The tasks of a node's connection to its PMD, and of its deadlines.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::error::{Error, ErrorKind, Result};
use crate::fork::CloseInChild;
use crate::limits;
use crate::net;
use crate::node::shared::Shared;
use crate::pmd::{Launcher, Pmd, PmdOptions, await_winner};
use crate::wire::frame::FrameReader;

/// Connects to a host, trying each of its addresses.
pub(super) async fn dial(host: &str, port: u16) -> std::io::Result<TcpStream> {
    // Only names need the resolver, which blocks; it has threads of its own.
    let addresses = if net::is_loopback(host) || host.parse::<std::net::IpAddr>().is_ok() {
        net::resolve(host, port).map_err(std::io::Error::other)?
    } else {
        tokio::net::lookup_host((host, port)).await?.collect()
    };
    let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    let mut first = true;
    for address in addresses {
        let limit = Duration::from_millis(limits::CONNECT_TIMEOUT_MS);
        match tokio::time::timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            // The first address is the usual one; its error says most.
            Ok(Err(error)) if first => last = error,
            Err(_) if first => last = std::io::ErrorKind::TimedOut.into(),
            _ => {}
        }
        first = false;
    }
    Err(last)
}

#[cfg(unix)]
pub(super) fn close_in_child(stream: &TcpStream) -> CloseInChild {
    use std::os::fd::AsRawFd;
    CloseInChild::new(stream.as_raw_fd())
}

/// One connection to the PMD, from the attempt to its end.
pub(super) async fn connect(shared: Arc<Shared>, connection: u64) {
    let mut changes = shared.pmd_changes();
    let (host, port) = (&shared.options.pmd_host, shared.options.pmd_port);
    let run = async {
        match dial(host, port).await {
            Ok(stream) => {
                net::tune(&stream, &shared.options.detection);
                converse(&shared, connection, stream).await;
            }
            Err(error) => {
                let refused = error.kind() == std::io::ErrorKind::ConnectionRefused;
                let error = Error::new(
                    ErrorKind::PmdUnavailable,
                    format!("no PMD answers on {host}:{port}"),
                )
                .because(Error::io("connect", &error));
                shared.step(|locked, now| {
                    if locked.pmd_connection == connection {
                        locked.state.pmd_connect_failed(now, error, refused);
                    }
                });
            }
        }
    };
    tokio::select! {
        biased;
        // Dropping the conversation closes its socket.
        _ = changes.wait_for(|current| *current > connection) => {}
        () = run => {}
    }
}

async fn converse(shared: &Arc<Shared>, connection: u64, stream: TcpStream) {
    #[cfg(unix)]
    let _fork = close_in_child(&stream);
    let current = shared.step(|locked, now| {
        let current = locked.pmd_connection == connection;
        if current {
            locked.state.pmd_connected(now);
        }
        current
    });
    if !current {
        return;
    }
    let mut conversation = Conversation {
        shared,
        connection,
        stream,
        reader: FrameReader::new(limits::PMD_ANSWER_BYTES_MAX),
        out: Vec::new(),
        written: 0,
    };
    let Err(error) = conversation.run().await;
    shared.runtime.keep_sockets();
    shared.step(|locked, now| {
        if locked.pmd_connection == connection {
            locked.state.pmd_closed(now, error);
        }
    });
}

/// Reads and writes at the same time: a PMD stops reading requests while its answers are not
/// read, so waiting for a write alone could be for ever.
struct Conversation<'a> {
    shared: &'a Arc<Shared>,
    connection: u64,
    stream: TcpStream,
    reader: FrameReader,
    out: Vec<u8>,
    written: usize,
}

impl Conversation<'_> {
    async fn run(&mut self) -> Result<std::convert::Infallible> {
        loop {
            if self.written == self.out.len() {
                self.out = self.next_bytes();
                self.written = 0;
            }
            let writing = !self.out.is_empty();
            let interest = if writing {
                Interest::READABLE | Interest::WRITABLE
            } else {
                Interest::READABLE
            };
            tokio::select! {
                () = self.shared.pmd_flush.notified(), if !writing => {}
                ready = self.stream.ready(interest) => {
                    let ready = ready.map_err(|error| Error::io("wait for the PMD", &error))?;
                    if ready.is_writable() && writing {
                        self.write()?;
                    }
                    if ready.is_readable() || ready.is_read_closed() {
                        self.read()?;
                    }
                }
            }
        }
    }

    fn next_bytes(&self) -> Vec<u8> {
        self.shared.step(|locked, _| {
            if locked.pmd_connection == self.connection {
                locked.state.take_pmd_bytes()
            } else {
                Vec::new()
            }
        })
    }

    fn write(&mut self) -> Result<()> {
        match self.stream.try_write(&self.out[self.written..]) {
            Ok(count) => self.written += count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(Error::io("write to the PMD", &error)),
        }
        Ok(())
    }

    fn read(&mut self) -> Result<()> {
        match self.stream.try_read_buf(self.reader.buf()) {
            Ok(0) => Err(Error::new(
                ErrorKind::ConnectionFailed,
                "the PMD closed the connection",
            )),
            Ok(read) => {
                self.reader.note_read(read);
                frames(self.shared, self.connection, &mut self.reader)
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(Error::io("read from the PMD", &error)),
        }
    }
}

/// Hands every complete frame to the state machine, in one step.
fn frames(shared: &Arc<Shared>, connection: u64, reader: &mut FrameReader) -> Result<()> {
    let result = shared.step(|locked, now| {
        while let Some(body) = reader.next_frame()? {
            if locked.pmd_connection != connection {
                return Ok(());
            }
            locked.state.pmd_frame(now, &body)?;
        }
        Ok(())
    });
    reader.release();
    result
}

/// Launches a PMD, or becomes one, on a thread for blocking work.
pub(super) async fn launch(shared: Arc<Shared>) {
    let of_thread = shared.clone();
    let launch = shared.runtime.spawn_blocking(move || {
        let options = &of_thread.options;
        match Launcher::search(options.launcher.as_ref())? {
            Some(launcher) => {
                let (host, port) = (&options.pmd_host, options.pmd_port);
                launcher.launch(host, port, options.pmd_auto_shutdown_ms)
            }
            None if options.embed_pmd => serve(&of_thread),
            None => Err(Launcher::none_found()),
        }
    });
    let result = launch.await.unwrap_or_else(|error| {
        Err(Error::new(
            ErrorKind::Internal,
            format!("launching a PMD failed: {error}"),
        ))
    });
    shared.step(|locked, now| locked.state.pmd_launched(now, result));
}

/// Serves as the PMD from this process, unless another one was faster.
fn serve(shared: &Shared) -> Result<()> {
    // A shutdown meanwhile waits until the port is free again.
    let _alive = shared.keep_alive();
    let port = shared.options.pmd_port;
    let options = PmdOptions {
        port,
        detection: shared.options.detection,
        gives_way: true,
        ..PmdOptions::default()
    };
    match Pmd::start(options) {
        Ok(pmd) => {
            tracing::info!(node = %shared.id, port, "no program to launch; serving as the PMD");
            shared.keep_pmd(pmd);
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::AddressInUse => {
            match await_winner(&shared.options.pmd_host, port) {
                Err(silent) if silent.kind() != ErrorKind::NotPmd => Err(error.because(silent)),
                answered => answered,
            }
        }
        Err(error) => Err(Error::new(
            ErrorKind::PmdLaunchFailed,
            format!(
                "no `distflow` program was found to launch a PMD, and this process cannot serve \
                 as one: {error}"
            ),
        )
        .because(error)),
    }
}

/// Ticks the state machine whenever a deadline of its own is due.
pub(super) async fn deadlines(shared: Arc<Shared>) {
    loop {
        let next = shared.rearm();
        let due = async {
            match next {
                Some(at) => {
                    let at = tokio::time::Instant::from_std(shared.clock.instant(at));
                    tokio::time::sleep_until(at).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shared.timer.notified() => {}
            () = due => shared.step(|locked, now| locked.state.tick(now)),
        }
    }
}
