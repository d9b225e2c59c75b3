#!/usr/bin/env bash
# What nats-server keeps as a retained message when several clients publish one on the same topic at once. One would
# guess: the one that its subscribers saw last, as with a broker that handles one message after the other. It is
# mostly another, which nobody saw last: each client's messages keep their order, and nothing holds between clients.
# So "the last retained message wins" decides nothing there, and a late subscriber believes something else than the others. distflow's sessions hand over by
# votes of all members (`core/src/session/seat/election.rs`), and everything retained has one writer that says it again.
set -eu
cd "$TMPDIR"
command -v python3 >/dev/null && command -v apt-get >/dev/null || { echo "python3 or apt-get is missing"; exit 77; }
apt-get download -qq nats-server=2.9.10-1+b3 >apt.log 2>&1 || { tail -2 apt.log; echo "the package of Debian 12 is out of reach"; exit 77; }
dpkg -x nats-server_*.deb root
server=$(find root -type f -name nats-server -perm -u+x | head -1)
"$server" --version
ports=$(python3 -c '
import socket
sockets = [socket.socket() for _ in range(2)]
for one in sockets: one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in sockets))')
read -r port other <<<"$ports"
printf 'server_name: test\nlisten: "127.0.0.1:%s"\njetstream { store_dir: "%s" }\nmqtt { listen: "127.0.0.1:%s" }\n' \
  "$other" "$PWD/store" "$port" > nats.conf
"$server" -c nats.conf -l nats.log & broker=$!
trap 'kill $broker 2>/dev/null; wait 2>/dev/null' EXIT

cat > order.py <<'PY'
import socket, struct, sys, time

def text(value):
    return struct.pack(">H", len(value)) + value.encode()

def packet(kind, body):
    size, length = len(body), b""
    while True:
        size, digit = divmod(size, 128)
        length += bytes([digit | (128 if size else 0)])
        if not size:
            return bytes([kind]) + length + body

class Client:
    def __init__(self, port, name):
        for _ in range(300):
            try:
                self.socket = socket.create_connection(("127.0.0.1", port), 5)
                break
            except OSError:
                time.sleep(0.1)
        self.rest = b""
        self.send(0x10, text("MQTT") + bytes([4, 2]) + struct.pack(">H", 60) + text(name))
        assert self.read(10)[1][1] == 0

    def send(self, kind, body):
        self.socket.sendall(packet(kind, body))

    def publish(self, topic, payload, number=1):
        self.send(0x33, text(topic) + struct.pack(">H", number) + payload)

    def subscribe(self, topic, quality=0):
        self.send(0x82, struct.pack(">H", 1) + text(topic) + bytes([quality]))

    def read(self, wait):
        """A packet, None after a while, or "closed"."""
        self.socket.settimeout(wait)
        try:
            while True:
                at, size, shift = 1, 0, 0
                while at < len(self.rest):
                    size |= (self.rest[at] & 127) << shift
                    shift, at = shift + 7, at + 1
                    if not self.rest[at - 1] & 128:
                        if len(self.rest) >= at + size:
                            one = self.rest[0], self.rest[at : at + size]
                            self.rest = self.rest[at + size :]
                            return one
                        break
                more = self.socket.recv(65536)
                if not more:
                    return "closed"
                self.rest += more
        except TimeoutError:
            return None
        except ConnectionError:
            return "closed"

    def payloads(self, wait):
        while (one := self.read(wait)) not in (None, "closed"):
            if one[0] >> 4 == 3:
                at = 2 + struct.unpack(">H", one[1][:2])[0]
                if one[0] & 6:
                    self.send(0x40, one[1][at : at + 2])
                    at += 2
                yield one[1][at:].decode()

port, rounds, count = int(sys.argv[1]), 12, 60
writers = [Client(port, f"writer{number}") for number in range(count)]
other_order = other_kept = 0
for number in range(rounds):
    topic = f"round{number}"
    watchers = [Client(port, f"watcher{number}-{one}") for one in range(2)]
    for watcher in watchers:
        watcher.subscribe(topic)
        assert watcher.read(10)[0] == 0x90
    for at, writer in enumerate(writers):
        writer.publish(topic, str(at).encode(), number + 1)
    for writer in writers:
        assert writer.read(10)[0] == 0x40
    seen = [list(watcher.payloads(1)) for watcher in watchers]
    assert all(sorted(map(int, one)) == list(range(count)) for one in seen)
    late = Client(port, f"late{number}")
    late.subscribe(topic)
    kept = next(late.payloads(5))
    other_order += seen[0] != seen[1]
    other_kept += kept not in (seen[0][-1], seen[1][-1])
print(f"of {rounds} rounds: in another order for another subscriber {other_order}, kept what nobody saw last {other_kept}")
print("another is kept" if other_kept else "the last is kept")
PY
timeout 200 python3 order.py "$port" | tee order.txt
grep -qx 'another is kept' order.txt || { echo "changed: in all rounds the last message was kept"; exit 1; }
