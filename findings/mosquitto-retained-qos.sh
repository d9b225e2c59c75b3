#!/usr/bin/env bash
# How many retained messages a new subscriber gets of Mosquitto. One would guess: all; with quality of service 1 rather
# more surely than with 0. It brings all for 0, but for 1 drops, without a word, what does not fit into its queue for that
# client: 1,020 come (`max_queued_messages` 1000, `max_inflight_messages` 20).
# So whoever lists things by retained messages on a wildcard subscribes with quality of service 0. distflow's list of
# sessions does (`core/src/session/lobby.rs`), and looks whether something turns up that should have been there.
set -eu
cd "$TMPDIR"
command -v python3 >/dev/null && command -v apt-get >/dev/null || { echo "python3 or apt-get is missing"; exit 77; }
apt-get download -qq mosquitto=2.0.11-1.2+deb12u2 libcjson1 libdlt2 libwebsockets17 libwrap0 libev4 libuv1 >apt.log 2>&1 \
  || { tail -2 apt.log; echo "the packages of Debian 12 are out of reach"; exit 77; }
for package in *.deb; do dpkg -x "$package" root; done
export LD_LIBRARY_PATH=$PWD/root/usr/lib/$(uname -m)-linux-gnu:$PWD/root/lib/$(uname -m)-linux-gnu
root/usr/sbin/mosquitto -h | head -1 || { echo "it does not run here"; exit 77; }
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf 'listener %s 127.0.0.1\nallow_anonymous true\nlog_dest none\nuser %s\n' "$port" "$(id -un)" > mosquitto.conf
root/usr/sbin/mosquitto -c mosquitto.conf 2>/dev/null & broker=$!
trap 'kill $broker 2>/dev/null; wait 2>/dev/null' EXIT

cat > count.py <<'PY'
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

port, count = int(sys.argv[1]), 1300
writer = Client(port, "writer")
for number in range(count):
    writer.publish(f"thing/{number}/state", b"here", number + 1)
    assert writer.read(10)[0] == 0x40
for quality in (0, 1):
    reader = Client(port, f"reader{quality}")
    reader.subscribe("thing/+/state", quality)
    got = sum(1 for _ in reader.payloads(3))
    print(f"quality of service {quality}: {got} of {count}")
PY
timeout 120 python3 count.py "$port" | tee counted.txt
expect() { grep -qx "$1" counted.txt || { echo "changed: not '$1'"; exit 1; }; }
expect 'quality of service 0: 1300 of 1300'
expect 'quality of service 1: 1020 of 1300'
