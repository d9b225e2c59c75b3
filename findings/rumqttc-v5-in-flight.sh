#!/usr/bin/env bash
# What an idle connection of rumqttc costs in memory. One would guess: about the same for MQTT 3.1.1 and 5, some tens of
# kilobytes, and more as messages are under way. With 3.1.1 it is so. With MQTT 5 the tables of what is under way have a
# place for each of the 65,535 numbers from the beginning, unless a limit is set: megabytes for each connection.
# So a program with many connections sets `set_outgoing_inflight_upper_limit`. distflow does (`core/src/mqtt/library.rs`).
set -eu
cd "$TMPDIR"
command -v cargo >/dev/null && command -v python3 >/dev/null && command -v apt-get >/dev/null || { echo "cargo, python3 or apt-get is missing"; exit 77; }
apt-get download -qq mosquitto=2.0.11-1.2+deb12u2 libcjson1 libdlt2 libwebsockets17 libwrap0 libev4 libuv1 >apt.log 2>&1 \
  || { tail -2 apt.log; echo "the packages of Debian 12 are out of reach"; exit 77; }
for package in *.deb; do dpkg -x "$package" root; done
export LD_LIBRARY_PATH=$PWD/root/usr/lib/$(uname -m)-linux-gnu:$PWD/root/lib/$(uname -m)-linux-gnu
root/usr/sbin/mosquitto -h | head -1 || { echo "it does not run here"; exit 77; }
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf 'listener %s 127.0.0.1\nallow_anonymous true\nlog_dest none\nuser %s\n' "$port" "$(id -un)" > mosquitto.conf
root/usr/sbin/mosquitto -c mosquitto.conf 2>/dev/null & broker=$!
trap 'kill $broker 2>/dev/null; wait 2>/dev/null' EXIT

mkdir -p src
cat > Cargo.toml <<'TOML'
[package]
name = "connections"
version = "0.0.0"
edition = "2021"
[dependencies]
v4 = { package = "rumqttc-v4-next", version = "=0.34.0", default-features = false }
v5 = { package = "rumqttc-v5-next", version = "=0.34.0", default-features = false }
tokio = { version = "1", features = ["rt", "time"] }
[workspace]
TOML
cat > src/main.rs <<'RUST'
const CONNECTIONS: usize = 20;

fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

macro_rules! grown {
    ($library:ident, $port:expr, $set:expr) => {{
        use $library::{AsyncClient, Event, MqttOptions, Packet};
        let before = resident_kib();
        let mut open = Vec::new();
        for number in 0..CONNECTIONS {
            let name = format!("{}-{number}-{}", stringify!($library), before);
            let mut options = MqttOptions::new(name, ("127.0.0.1", $port));
            $set(&mut options);
            let (client, mut events) = AsyncClient::builder(options).capacity(10).build();
            loop {
                if let Event::Incoming(Packet::ConnAck(_)) = events.poll().await.unwrap() {
                    break;
                }
            }
            open.push((client, events));
        }
        let each = (resident_kib() - before) / CONNECTIONS;
        drop(open);
        each
    }};
}

fn main() {
    let port: u16 = std::env::args().nth(1).unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let four = grown!(v4, port, |_: &mut v4::MqttOptions| ());
        let limited = grown!(v5, port, |options: &mut v5::MqttOptions| {
            options.set_outgoing_inflight_upper_limit(100);
        });
        let five = grown!(v5, port, |_: &mut v5::MqttOptions| ());
        println!("KiB for each of {CONNECTIONS} idle connections: 3.1.1 {four}, 5 with a limit of 100 {limited}, 5 {five}");
        std::process::exit((five < 2_000 || four > 500 || limited > 500) as i32);
    });
}
RUST
cargo build --quiet --release 2>cargo.log || { tail -20 cargo.log; grep -q "error\[" cargo.log && exit 1; echo "crates.io is out of reach"; exit 77; }
sleep 1
target/release/connections "$port"
