//! The broker in the box as a program: what it promises beyond a broker.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use distflow_core::error::ErrorKind;
use distflow_core::mqtt::{BrokerOptions, Version};
use distflow_core::sessions::Sessions;
use distflow_tests::{Child, LIMIT, TempFolder, distflow_program, wait_until};

use crate::brokers::block_on;
use crate::people::{count, room_for};

/// A client of MQTT 3.1.1, byte by byte.
struct Client(TcpStream);

impl Client {
    /// The connection, and the broker's answer to the first packet.
    fn try_connect(place: &str, id: &str) -> (Self, u8) {
        let stream = TcpStream::connect(place).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let mut client = Self(stream);
        let mut body = b"\0\x04MQTT\x04\x02\0\0".to_vec();
        body.extend((id.len() as u16).to_be_bytes());
        body.extend(id.as_bytes());
        client.send(0x10, &body);
        let (kind, body) = client.packet();
        assert_eq!(kind, 0x20);
        (client, body[1])
    }

    fn connect(place: &str, id: &str) -> Self {
        let (client, code) = Self::try_connect(place, id);
        assert_eq!(code, 0);
        client
    }

    fn send(&mut self, first: u8, body: &[u8]) {
        let mut packet = vec![first];
        let mut left = body.len();
        loop {
            packet.push((left & 0x7f) as u8 | u8::from(left > 0x7f) << 7);
            left >>= 7;
            if left == 0 {
                break;
            }
        }
        packet.extend(body);
        self.0.write_all(&packet).unwrap();
    }

    fn packet(&mut self) -> (u8, Vec<u8>) {
        let mut byte = [0];
        self.0.read_exact(&mut byte).unwrap();
        let (first, mut length) = (byte[0], 0);
        for at in 0..4 {
            self.0.read_exact(&mut byte).unwrap();
            length |= usize::from(byte[0] & 0x7f) << (7 * at);
            if byte[0] < 0x80 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        (first, body)
    }

    fn subscribe(&mut self, filter: &str) {
        let mut body = b"\0\x01".to_vec();
        body.extend((filter.len() as u16).to_be_bytes());
        body.extend(filter.as_bytes());
        body.push(0);
        self.send(0x82, &body);
        assert_eq!(self.packet(), (0x90, b"\0\x01\0".to_vec()));
    }

    /// Quality of service 1: it has been taken when this returns.
    fn publish(&mut self, topic: &str, payload: &[u8], retain: bool) {
        let mut body = (topic.len() as u16).to_be_bytes().to_vec();
        body.extend(topic.as_bytes());
        body.extend(b"\0\x07");
        body.extend(payload);
        self.send(0x32 | u8::from(retain), &body);
        assert_eq!(self.packet(), (0x40, b"\0\x07".to_vec()));
    }

    /// Topics of the messages that come, until there are as many.
    fn hear(&mut self, count: usize) -> Vec<String> {
        let topic = |body: Vec<u8>| {
            let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
            String::from_utf8(body[2..2 + length].to_vec()).unwrap()
        };
        let mut heard: Vec<String> = (0..count).map(|_| topic(self.packet().1)).collect();
        heard.sort();
        heard.dedup();
        heard
    }
}

fn start(more: &[&str]) -> (Child, String) {
    let mut command = Command::new(distflow_program());
    command
        .args(["broker", "start", "--mqtt-port", "0"])
        .args(more);
    let broker = Child::spawn(command);
    let place = broker.line_after("Broker started on ");
    (broker, place)
}

/// Text of a path.
fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// 60 MB that pass through, and 200 games of 200 kB that end: an allocator keeps what is not given back on purpose.
#[test]
fn memory_is_given_back() {
    let (broker, place) = start(&[]);
    let before = broker.memory();
    let most = before + (20 << 20);
    let payload = vec![b'x'; 200_000];
    {
        let mut writer = Client::connect(&place, "writer");
        let mut reader = Client::connect(&place, "reader");
        reader.subscribe("big/#");
        for _ in 0..300 {
            writer.publish("big/one", &payload, false);
            reader.packet();
        }
        for game in 0..200 {
            writer.publish(&format!("game/{game}"), &payload, true);
        }
        assert!(broker.memory() > before + (30 << 20));
        for game in 0..200 {
            writer.publish(&format!("game/{game}"), b"", true);
        }
    }
    let is_back = wait_until(LIMIT, || broker.memory() < most);
    assert!(is_back, "{before} bytes before, {} after", broker.memory());
}

/// Other brokers tell a subscription a part of them only.
#[test]
fn all_that_is_retained_is_told() {
    let (_broker, place) = start(&[]);
    let mut writer = Client::connect(&place, "writer");
    for number in 0..3_000 {
        writer.publish(&format!("session_discovery/{number}"), &[b'x'; 300], true);
    }
    let mut reader = Client::connect(&place, "reader");
    reader.subscribe("session_discovery/+");
    assert_eq!(reader.hear(3_000).len(), 3_000);
}

#[test]
fn retained_messages_are_kept_in_a_folder() {
    let folder = TempFolder::new();
    let kept = folder.path().join("kept");
    let (mut broker, place) = start(&["--keep", text(&kept)]);
    {
        let mut writer = Client::connect(&place, "writer");
        for topic in ["a", "b", "ü/c"] {
            writer.publish(topic, b"one", true);
        }
        writer.publish("b", b"", true);
    }
    // Another one with the same folder is refused.
    let mut other = Command::new(distflow_program());
    other.args(["broker", "start", "--mqtt-port", "0", "--keep", text(&kept)]);
    let output = other.output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("another broker keeps its messages in"),
        "{said}"
    );
    broker.kill();
    let (mut broker, place) = start(&["--keep", text(&kept)]);
    let mut reader = Client::connect(&place, "reader");
    reader.subscribe("#");
    assert_eq!(reader.hear(2), ["a", "ü/c"]);
    Client::connect(&place, "writer").publish("a", b"", true);
    broker.signal(libc::SIGTERM);
    assert_eq!(broker.wait(LIMIT).unwrap().code(), Some(0));
    let (_broker, place) = start(&["--keep", text(&kept)]);
    let mut reader = Client::connect(&place, "reader");
    reader.subscribe("#");
    assert_eq!(reader.hear(1), ["ü/c"]);
}

#[test]
fn users_have_passwords_and_rules() {
    let folder = TempFolder::new();
    let (users, rules) = (folder.path().join("users"), folder.path().join("rules"));
    std::fs::write(&users, "ann:secret\nbob:other\n").unwrap();
    std::fs::write(&rules, "ann all #\nbob read #\n").unwrap();
    let mut wrong = Command::new(distflow_program());
    wrong.args([
        "broker",
        "start",
        "--mqtt-port",
        "0",
        "--users",
        text(&users),
    ]);
    let mode = |mode| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&users, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(0o644);
    let output = wrong.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("chmod 600"));
    mode(0o600);
    let (_broker, place) = start(&["--users", text(&users), "--rules", text(&rules)]);
    for version in [Version::V311, Version::V5] {
        let by = |user: &str, password: &str| {
            let url = format!("mqtt://{user}:{password}@{place}");
            let mut options = BrokerOptions::parse(&url).unwrap();
            options.version = version;
            Sessions::new(options).unwrap()
        };
        block_on(async {
            let ann = by("ann", "secret");
            let one = ann.create(None, room_for(2)).await.unwrap();
            count(&one, 1).await;
            let error = by("ann", "wrong").join(one.id()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
            // Presence is a will, which a client without the right to write can't have.
            let error = by("bob", "other").join(one.id()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
            one.leave().await;
        });
    }
}

/// Nothing is wrong, so no error is told; and the log says who comes and goes.
#[test]
fn logs_say_who_connects_and_no_error_without_one() {
    let said = |level: &str| {
        let mut command = Command::new(distflow_program());
        command.args([
            "--log",
            level,
            "broker",
            "start",
            "--mqtt-port",
            "0",
            "--json",
        ]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut broker = command.spawn().unwrap();
        let mut output = std::io::BufReader::new(broker.stdout.take().unwrap());
        let mut line = String::new();
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        let started: serde_json::Value = serde_json::from_str(&line).unwrap();
        let place = format!("127.0.0.1:{}", started["port"]);
        drop(TcpStream::connect(&place).unwrap());
        let mut ann = Client::connect(&place, "ann\u{1b}]0;x\u{7}\u{202e}");
        ann.send(0xe0, b"");
        // The broker has closed, so it has told its log.
        assert_eq!(ann.0.read(&mut [0]).unwrap(), 0);
        drop(Client::connect(&place, "bob"));
        // SAFETY: a child that has not been waited for.
        assert_eq!(unsafe { libc::kill(broker.id() as i32, libc::SIGTERM) }, 0);
        let output = broker.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(said("error"), "");
    assert_eq!(said("warn"), "");
    let info = said("info");
    for words in [
        "a client has connected",
        "a client has left",
        "it said good-bye",
        "127.0.0.1:",
        "ann",
        "bob",
    ] {
        assert!(info.contains(words), "{info}");
    }
    assert!(
        !info.contains("\u{1b}]0") && !info.contains('\u{202e}'),
        "{info:?}"
    );
}

/// Out of file descriptors, the connected are served, one more is told, and no processor is burnt.
#[test]
fn at_the_limit_of_file_descriptors() {
    let mut command = Command::new("/bin/sh");
    let program = distflow_program();
    let script = "ulimit -n 96; exec \"$0\" broker start --mqtt-port 0";
    command.args(["-c", script, text(&program)]);
    let broker = Child::spawn(command);
    let place = broker.line_after("Broker started on ");
    let mut clients = Vec::new();
    let code = loop {
        let (client, code) = Client::try_connect(&place, &format!("client {}", clients.len()));
        if code != 0 {
            break code;
        }
        clients.push(client);
    };
    assert_eq!((code, clients.len()), (3, 32));
    // Connections that say nothing take the rest; then they have to wait, or are closed.
    let silent: Vec<TcpStream> = (0..100)
        .map(|_| TcpStream::connect(&place).unwrap())
        .collect();
    let before = broker.cpu_time();
    std::thread::sleep(Duration::from_secs(1));
    let used = broker.cpu_time() - before;
    assert!(used < Duration::from_millis(500), "{used:?}");
    for client in &mut clients {
        client.send(0xc0, b"");
        assert_eq!(client.packet().0, 0xd0);
    }
    drop((clients.pop(), silent));
    // Until they are gone, the broker has no room even to say so.
    assert!(wait_until(LIMIT, || {
        let mut stream = TcpStream::connect(&place).unwrap();
        let _ = stream.write_all(b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01l");
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).is_ok() && answer[3] == 0
    }));
}

/// `CLIENTS=5000` for as many as a big game has; this process needs a file descriptor for each, too.
#[test]
fn many_clients_all_hear() {
    let clients = std::env::var("CLIENTS").map_or(300, |clients| clients.parse().unwrap());
    distflow_core::mqtt::broker::raise_descriptors();
    let (broker, place) = start(&[]);
    let before = broker.memory();
    let mut all: Vec<Client> = Vec::new();
    for number in 0..clients {
        let mut client = Client::connect(&place, &format!("client {number}"));
        client.subscribe("all");
        all.push(client);
    }
    let mut one = Client::connect(&place, "one");
    one.publish("all", b"hello", false);
    for client in &mut all {
        assert_eq!(client.hear(1), ["all"]);
    }
    let with_all = broker.memory();
    drop(all);
    let is_back = wait_until(LIMIT, || broker.memory() < before + (16 << 20));
    println!(
        "{clients} clients: {} KiB before, {} with all, {} after",
        before >> 10,
        with_all >> 10,
        broker.memory() >> 10
    );
    assert!(is_back);
}
