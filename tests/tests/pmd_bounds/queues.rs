//! Peers that send and do not read.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use distflow_core::limits;
use distflow_core::pmd::{Pmd, PmdOptions};
use distflow_tests::{LIMIT, OriginalClient, frame, read_frame, register_payload, wait_until};

use crate::{MIB, PmdProcess, narrow_client, options, pmd_process};

#[test]
fn a_watcher_that_never_reads_is_cut_and_the_others_get_everything() {
    const BATCH: usize = 200;
    // About 17 MB for each watcher, far more than the feed keeps and the kernel's buffers take.
    const BATCHES_MAX: usize = 100;
    let mut options = options();
    // The kernel would give it up as well, after this time.
    options.detection.user_timeout = Duration::from_secs(3_600);
    let pmd = Pmd::start(options).unwrap();
    let mut deaf = narrow_client(pmd.port());
    deaf.register("deaf", "", 1);
    deaf.watch();
    let mut original = OriginalClient::connect(pmd.port());
    original.watch();
    let mut extended = OriginalClient::connect(pmd.port());
    extended.hello(&["rev"]);
    let mut rev = extended.watch()["rev"].as_u64().unwrap();
    let mut a = OriginalClient::connect(pmd.port());
    let host = "h".repeat(255);
    let (mut leaves_of_deaf, mut batches) = (0, 0);
    while leaves_of_deaf == 0 {
        batches += 1;
        assert!(batches < BATCHES_MAX, "never cut off");
        let mut bytes = Vec::new();
        for n in 0..BATCH {
            let payload = format!(r#"{{"nodeId":"n{n}","host":"{host}","port":1}}"#);
            bytes.extend(frame(a.request_text("register", &payload)));
            bytes.extend(frame(
                a.request_text("unregister", &format!(r#"{{"nodeId":"n{n}"}}"#)),
            ));
        }
        a.send_bytes(&bytes);
        for _ in 0..2 * BATCH {
            assert!(a.response_text().contains(r#"{"success":true}"#));
        }
        // The healthy ones miss nothing and get nothing twice; the cut shows as one leave.
        let mut changes = original.changes();
        let of_deaf = |change: &String| change == "peer:leave deaf";
        leaves_of_deaf += changes.iter().filter(|change| of_deaf(change)).count();
        changes.retain(|change| !of_deaf(change));
        let expected =
            (0..BATCH).flat_map(|n| [format!("peer:join n{n}"), format!("peer:leave n{n}")]);
        assert_eq!(changes, expected.collect::<Vec<_>>());
        for _ in 0..2 * BATCH + leaves_of_deaf {
            let event = extended.event();
            rev += 1;
            assert_eq!(event["rev"], rev);
            if event["peer"]["nodeId"] == "deaf" {
                assert_eq!(event["cause"], "closed");
            }
        }
    }
    assert_eq!(leaves_of_deaf, 1);
    // What the deaf one was sent ends in the middle, never with a gap.
    let mut last = String::new();
    while let Ok(Some(text)) = distflow_tests::read_frame(&mut deaf.socket()) {
        let change = if text.contains("peer:join") {
            "join"
        } else {
            "leave"
        };
        assert_ne!(change, last, "an event was left out");
        last = change.into();
    }
}

#[test]
fn pipelining_without_reading_stops_the_sender_not_the_pmd() {
    const NODES: usize = 250;
    const REQUESTS: usize = 4_000;
    let mut pmd = pmd_process(&[]);
    let mut owners: Vec<_> = (0..5)
        .map(|_| OriginalClient::connect(pmd.port()))
        .collect();
    for n in 0..NODES {
        owners[n % 5].register(&format!("node-{n:010}"), &format!("alias-{n:010}"), 1);
    }
    let mut a = OriginalClient::connect(pmd.port());
    let bytes: Vec<u8> = (0..REQUESTS)
        .flat_map(|_| frame(a.request_text("list", "{}")))
        .collect();
    let before = pmd.child().memory();
    let writer = {
        let mut socket = a.socket().try_clone().unwrap();
        std::thread::spawn(move || std::io::Write::write_all(&mut socket, &bytes).unwrap())
    };
    // Others are served meanwhile. Each of these answers is a turn of the PMD, and a turn
    // would be enough to answer thousands.
    for _ in 0..200 {
        assert_eq!(owners[0].ids().len(), NODES);
    }
    let after = pmd.child().memory();
    // The answers are over 100 MB together.
    assert!(
        after < before + 16 * MIB,
        "{before} bytes before, {after} after"
    );
    for n in 1..=REQUESTS {
        let answer = a.frame().unwrap();
        let start = format!(r#"{{"type":"response","requestId":"req_{n}","payload":{{"nodes":["#);
        assert!(answer.starts_with(&start), "{n}: {}", &answer[..100]);
        assert!(answer.len() > NODES * 100);
    }
    writer.join().unwrap();
    let after = pmd.child().memory();
    assert!(
        after < before + 16 * MIB,
        "{before} bytes before, {after} after"
    );
}

/// The node id in the text of an event.
fn id_in(text: &str) -> &str {
    let (_, rest) = text.split_once(r#""nodeId":""#).expect("no node id");
    rest.split('"').next().unwrap()
}

#[test]
fn a_thousand_that_join_at_once_and_watch_see_all() {
    const CLIENTS: usize = 1_000;
    let mut options = options();
    // They are read one after the other; the kernel is not to give up those that wait.
    options.detection.user_timeout = Duration::from_secs(3_600);
    let pmd = Pmd::start(options).unwrap();
    let mut clients: Vec<_> = (0..CLIENTS)
        .map(|_| OriginalClient::connect(pmd.port()))
        .collect();
    for (n, client) in clients.iter_mut().enumerate() {
        let requests = [
            client.request_text("hello", r#"{"v":1,"caps":["rev"]}"#),
            client.request_text("register", &register_payload(&format!("n{n}"), "", 1)),
            client.request_text("watch", "{}"),
        ];
        client.send_bytes(&requests.iter().flat_map(frame).collect::<Vec<u8>>());
    }
    for (n, client) in clients.iter_mut().enumerate() {
        client.response_text();
        client.response_text();
        let snapshot: serde_json::Value = serde_json::from_str(&client.response_text()).unwrap();
        let snapshot = &snapshot["payload"];
        let mut seen: BTreeSet<String> = snapshot["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|node| node["nodeId"].as_str().unwrap().to_owned())
            .collect();
        let mut rev = snapshot["rev"].as_u64().unwrap();
        assert_eq!(seen.len() as u64, rev);
        while seen.len() < CLIENTS {
            let text = client.frame().unwrap_or_else(|| panic!("{n} was cut off"));
            rev += 1;
            assert!(text.ends_with(&format!(r#","rev":{rev}}}}}"#)), "{text}");
            assert!(seen.insert(id_in(&text).to_owned()), "twice: {text}");
        }
    }
    // All leave at once; who is left sees each of them go, once.
    let mut last = clients.pop().unwrap();
    drop(clients);
    let mut gone = BTreeSet::new();
    while gone.len() < CLIENTS - 1 {
        let text = last.event_text();
        assert!(text.contains("peer:leave"), "{text}");
        assert!(gone.insert(id_in(&text).to_owned()), "twice: {text}");
    }
    assert_eq!(last.ids().len(), 1);
}

/// A program that takes all the processor it gets.
struct Burner(std::process::Child);

impl Burner {
    fn start() -> Self {
        let mut shell = std::process::Command::new("sh");
        Self(shell.args(["-c", "while :; do :; done"]).spawn().unwrap())
    }
}

impl Drop for Burner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A node that reads whenever something is there, and counts whom it has seen.
struct Reader {
    socket: TcpStream,
    bytes: Vec<u8>,
    seen: usize,
    cut: bool,
}

impl Reader {
    fn start(port: u16, n: usize) -> Self {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let caps = r#"{"v":1,"caps":["rev","meta","probe"]}"#;
        let node = register_payload(&format!("n{n}"), &format!("alias-{n}"), 1);
        let mut bytes = Vec::new();
        for (id, (kind, payload)) in [("hello", caps), ("register", &node), ("watch", "{}")]
            .into_iter()
            .enumerate()
        {
            let text = format!(r#"{{"type":"{kind}","payload":{payload},"requestId":{id}}}"#);
            bytes.extend(frame(text));
        }
        socket.write_all(&bytes).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self {
            socket,
            bytes: Vec::new(),
            seen: 0,
            cut: false,
        }
    }

    fn read(&mut self, buffer: &mut [u8]) {
        match self.socket.read(buffer) {
            Ok(0) => self.cut = true,
            Ok(read) => self.bytes.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(_) => self.cut = true,
        }
        let mut frames = &self.bytes[..];
        let mut used = 0;
        while let Ok(Some(text)) = read_frame(&mut frames) {
            // The answer to `watch` names those who were there; every event one more.
            let nodes = text.matches(r#"{"nodeId":"#).count();
            if text.contains(r#""nodes":["#) || text.contains("peer:join") {
                self.seen += nodes;
            }
            assert!(!text.contains("peer:leave"), "{text}");
            used = self.bytes.len() - frames.len();
        }
        self.bytes.drain(..used);
    }
}

#[test]
fn a_thousand_nodes_see_all_on_a_busy_machine() {
    const NODES: usize = 1_000;
    const THREADS: usize = 8;
    let pmd = Pmd::start(options()).unwrap();
    let port = pmd.port();
    let _burners = [Burner::start(), Burner::start()];
    let begun = Instant::now();
    let seen: Vec<(usize, bool)> = std::thread::scope(|scope| {
        let run = |thread: usize| {
            let own = (0..NODES).filter(|n| n % THREADS == thread);
            let mut readers: Vec<Reader> = own.map(|n| Reader::start(port, n)).collect();
            let mut buffer = vec![0; 64 << 10];
            // Three times the promise: this is a build for tests, and others run beside it.
            while begun.elapsed() < Duration::from_secs(60)
                && readers
                    .iter()
                    .any(|reader| reader.seen < NODES && !reader.cut)
            {
                for reader in &mut readers {
                    reader.read(&mut buffer);
                }
                std::thread::yield_now();
            }
            // Who is done stays, or the others would see it leave.
            readers
        };
        let threads: Vec<_> = (0..THREADS).map(|n| scope.spawn(move || run(n))).collect();
        let readers = threads.into_iter().map(|thread| thread.join().unwrap());
        let readers: Vec<Reader> = readers.flatten().collect();
        readers
            .iter()
            .map(|reader| (reader.seen, reader.cut))
            .collect()
    });
    let cut = seen.iter().filter(|(_, cut)| *cut).count();
    let all = seen.iter().filter(|(seen, _)| *seen == NODES).count();
    assert_eq!((all, cut), (NODES, 0), "saw all, were cut off");
}

#[test]
fn a_watcher_that_is_busy_for_seconds_is_not_cut() {
    const NODES: usize = 1_000;
    // It was cut off after 5 s once. A machine that keeps the test from reading again in time
    // shows nothing.
    const BUSY: Duration = Duration::from_millis(5_500);
    const TOO_LATE: Duration = Duration::from_millis(limits::WATCHER_STALL_MS - 500);
    let host = "h".repeat(255);
    let in_time = (0..10).any(|_| {
        let pmd = Pmd::start(options()).unwrap();
        let mut busy = narrow_client(pmd.port());
        busy.hello(&["rev"]);
        let first = busy.watch()["rev"].as_u64().unwrap();
        let mut owner = OriginalClient::connect(pmd.port());
        let begun = Instant::now();
        for n in 0..NODES {
            let id = format!("n{n}");
            owner.send(
                "register",
                &format!(r#"{{"nodeId":"{id}","host":"{host}","port":1}}"#),
            );
            owner.send("unregister", &format!(r#"{{"nodeId":"{id}"}}"#));
            owner.response_text();
            owner.response_text();
        }
        std::thread::sleep(BUSY.saturating_sub(begun.elapsed()));
        if begun.elapsed() > TOO_LATE {
            return false;
        }
        for n in 1..=2 * NODES as u64 {
            let event = busy.event();
            assert_eq!(event["rev"], first + n);
        }
        true
    });
    assert!(in_time, "the machine never let the test read in time");
}

#[test]
fn memory_is_given_back() {
    const CONNECTIONS: usize = 40;
    const NODES_EACH: usize = 50;
    const WATCHERS: usize = 200;
    let mut pmd = pmd_process(&[]);
    OriginalClient::connect(pmd.port()).ids();
    let empty = pmd.child().memory();
    let watchers: Vec<_> = (0..WATCHERS)
        .map(|_| {
            let mut client = OriginalClient::connect(pmd.port());
            client.hello(&["rev", "meta"]);
            client.send("watch", "{}");
            client
        })
        .collect();
    let owners: Vec<_> = (0..CONNECTIONS)
        .map(|at| {
            let mut owner = OriginalClient::connect(pmd.port());
            for n in 0..NODES_EACH {
                owner.register(&format!("node-{at}-{n}"), &format!("alias-{at}-{n}"), 1);
            }
            owner
        })
        .collect();
    let full = pmd.child().memory();
    // All leave at once, and nobody reads it.
    drop(owners);
    let mut other = OriginalClient::connect(pmd.port());
    assert!(wait_until(LIMIT, || other.ids().is_empty()));
    drop((watchers, other));
    let near = |pmd: &mut PmdProcess| pmd.child().memory() <= empty + MIB;
    // Three times the promise.
    assert!(
        wait_until(Duration::from_secs(30), || near(&mut pmd)),
        "{empty} bytes when empty, {full} when full, {} now",
        pmd.child().memory()
    );
}

#[test]
fn a_client_that_does_not_read_delays_the_end_by_less_than_two_seconds() {
    let mut options = PmdOptions {
        watcher_queue_bytes_max: 64 << 20,
        ..options()
    };
    options.detection.user_timeout = Duration::from_secs(3_600);
    let pmd = Pmd::start(options).unwrap();
    let mut clients: Vec<_> = (0..300)
        .map(|n| {
            let mut client = narrow_client(pmd.port());
            client.register(&format!("n{n}"), "", 1);
            client
        })
        .collect();
    for client in &mut clients {
        client.send("watch", "{}");
        for _ in 0..20 {
            client.send("list", "{}");
        }
    }
    let mut a = OriginalClient::connect(pmd.port());
    assert_eq!(a.ids().len(), 300);
    let started = Instant::now();
    pmd.stop();
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    assert!(!pmd.is_running());
    a.expect_end();
    assert!(pmd.nodes().is_err());
    // Safe to call twice.
    pmd.stop();
}
