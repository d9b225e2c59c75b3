"""The classes of `distflow.sessions.qt` with a binding of Qt."""

from __future__ import annotations

import json
import os
import subprocess

import support

PACKAGES = {"PySide6": "PySide6-Essentials"}

PROGRAM = """
import importlib, sys, time, uuid
name, port = sys.argv[1], int(sys.argv[2])
widgets = importlib.import_module(f"{name}.QtWidgets")
core = importlib.import_module(f"{name}.QtCore")
from paho.mqtt import client as paho
from distflow.sessions import qt, SGDistributedSession, SGDistributedGameConfig

application = widgets.QApplication([])

def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        application.processEvents()
        time.sleep(0.01)

class Program:
    players = {"Admin": 1, "Farmer": 2, "Fisher": 3}
    def __init__(self):
        self.clientId = uuid.uuid4().hex
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.mqttManager = self
        until(self.client.is_connected)

assert qt._NAME == name, qt._NAME
one, two = Program(), Program()
managers = [qt.SGDistributedSessionManager(None, program) for program in (one, two)]
heard, threads = [], set()

class Receiver(core.QObject):
    def hear(self, what):
        heard.append(what)
        threads.add(core.QThread.currentThread() == self.thread())

receiver = Receiver()
managers[0].playerConnected.connect(receiver.hear)
session = SGDistributedSession("with-qt", one.clientId, "Forest")
managers[0].publishSessionState(session)
until(lambda: managers[1].updateSessionState("with-qt", lambda one: one.add_instance(two.clientId)))
assert managers[1].registerPlayer("with-qt", "Farmer", 1, 4)
until(lambda: "Farmer" in heard)
seeds = qt.SGSeedSyncManager(two.client, managers[1], None, None)
seeds.seed_synced_signal.connect(receiver.hear)
seeds.instance_connected_signal.connect(receiver.hear)
assert seeds.sync_seed("with-qt", timeout=30, initial_wait=30)
until(lambda: seeds.synced_seed_value in heard and one.clientId in heard)
config = SGDistributedGameConfig()
config.session_id, config.assigned_player_name = "with-qt", "Fisher"
config.set_num_players((1, 4))
window = qt.SGConnectionStatusWidget(None, one, config, managers[0])
window.show()
until(lambda: window.isVisible())
texts = [window.players_list.item(at).text() for at in range(window.players_list.count())]
assert texts == ["Farmer (Connected)", "Fisher (You)"], texts
assert window.stats_label.text() == "Connected: 1/4"
managers[1].disconnect()
until(lambda: window.players_list.item(0).text() == "Farmer (Waiting...)")
window.close()
managers[0].disconnect()
for program in (one, two):
    program.client.disconnect()
    program.client.loop_stop()
print("on the thread of the object:", threads == {True})
print("Qt", core.qVersion() if hasattr(core, "qVersion") else core.QT_VERSION_STR)
"""


def check(name: str) -> None:
    """Runs all of it with a binding."""
    package = PACKAGES.get(name, name)
    python = support.environment(package, "paho-mqtt")
    support.version(name, support.version_of(python, package))
    command = [python, "-m", "distflow", "broker", "start", "--mqtt-port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as broker:
        assert broker.stdout is not None
        try:
            port = json.loads(broker.stdout.readline())["port"]
            program = support.script("program.py", PROGRAM)
            environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
            output = support.run(python, program, name, str(port), env=environment)
        finally:
            broker.terminate()
    support.expect(output, "on the thread of the object: True")
