"""The original programs' session manager, on clients that they bring: paho's."""

from __future__ import annotations

import json
import uuid
from typing import Any, Callable, Iterator

import pytest

from distflow.sessions import (
    SessionManager,
    SGDistributedSession,
    SGDistributedSessionManager,
    SGMQTTHandlerManager,
    SGSeedSyncManager,
    SGSessionDiscoveryManager,
)

from .conftest import LIMIT, until

mqtt = pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not for this interpreter")


class Program:
    """What the original programs have: a connected client, and an id."""

    def __init__(self, port: int) -> None:
        self.clientId = uuid.uuid4().hex
        self.others: list[str] = []
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self.client.on_message = lambda _client, _data, message: self.others.append(message.topic)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        until(self.client.is_connected)
        self.manager = SGDistributedSessionManager(None, self)

    def end(self) -> None:
        self.manager.disconnect()
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def program(broker_port: int) -> Iterator[Callable[[], Program]]:
    programs: list[Program] = []

    def make() -> Program:
        programs.append(Program(broker_port))
        return programs[-1]

    yield make
    for one in programs:
        one.end()


def create(program: Program, **options: Any) -> SGDistributedSession:
    session = SGDistributedSession(str(uuid.uuid4()), program.clientId, "Forest", **options)
    program.manager.publishSessionState(session)
    return session


def join(program: Program, session_id: str) -> bool:
    """As the originals do it: read, add oneself, write."""
    return program.manager.updateSessionState(
        session_id, lambda session: session.add_instance(program.clientId)
    )


def join_in_time(program: Program, session_id: str) -> None:
    """The originals give up after seconds, which a busy machine may need for less."""

    def is_in() -> bool:
        if join(program, session_id):
            return True
        session = program.manager.readSessionState(session_id)
        return session is not None and program.clientId in session.connected_instances

    until(is_in)


def test_programs_meet_leave_and_close(broker: str, program: Callable[[], Program]) -> None:
    one, two, three = program(), program(), program()
    session = create(one, num_players_max=3)
    seen: list[SGDistributedSession] = []
    assert two.manager.readSessionState(session.session_id, timeout=LIMIT) is not None
    two.manager.subscribeToSessionState(session.session_id, seen.append)
    join_in_time(two, session.session_id)
    join_in_time(three, session.session_id)
    until(lambda: seen and seen[-1].get_num_connected() == 3)
    assert list(seen[-1].connected_instances) == [one.clientId, two.clientId, three.clientId]
    # A fourth finds no room, and nobody is lost by that.
    four = program()
    assert not join(four, session.session_id)
    # A program with the other class is told so, too.
    with pytest.raises(Exception, match="is full"):
        SessionManager(broker).join(session.session_id)
    assert three.manager.updateSessionState(
        session.session_id, lambda session: session.remove_instance(three.clientId)
    )
    until(lambda: seen[-1].get_num_connected() == 2)
    assert one.manager.updateSessionState(session.session_id, lambda session: session.start())
    until(lambda: seen[-1].state == "started")
    one.manager.disconnect()
    until(lambda: seen[-1].state == "closed")


def test_whoever_has_disconnected_may_end_its_client(
    broker: str, program: Callable[[], Program]
) -> None:
    one, two = program(), program()
    session = create(one, num_players_max=3)
    join_in_time(two, session.session_id)
    sessions = SessionManager(broker)
    with sessions.list() as known:
        until(lambda: any(row.session_id == session.session_id for row in known.sessions))
        for leaving in (two, one):
            leaving.manager.disconnect()
            leaving.client.disconnect()
        until(lambda: all(row.session_id != session.session_id for row in known.sessions))
    with pytest.raises(Exception, match=r"over|closed|no session|not answer"):
        sessions.join(session.session_id)


def test_a_manager_of_handlers_beside_a_session(program: Callable[[], Program]) -> None:
    one = program()
    create(one)
    heard: list[str] = []
    handlers = SGMQTTHandlerManager(one.client)
    handlers.install()
    handlers.add_topic_handler("t/x", lambda _client, _data, message: heard.append(message.topic))
    one.client.subscribe("t/x")
    for _ in range(3):
        one.manager.disconnect()
        create(one)
        heard.clear()
        one.client.publish("t/x", "x")
        until(lambda: len(heard) > 0)
        assert heard == ["t/x"]


def test_both_kinds_of_programs_meet(broker: str, program: Callable[[], Program]) -> None:
    manager = SessionManager(broker)
    one = program()
    with manager.create(players_max=3, seed=77) as session:
        assert one.manager.syncSeed(session.id, timeout=LIMIT, initial_wait=LIMIT) == 77
        assert not one.manager.is_leader
        join_in_time(one, session.id)
        assert session.wait_for("member_joined").instance == one.clientId
        one.manager.disconnect()
        assert session.wait_for("member_left").instance == one.clientId
    created = create(one)
    assert one.manager.readSessionState(created.session_id, timeout=LIMIT) is not None
    with manager.join(created.session_id) as session:
        assert session.members == (one.clientId, session.instance)


def test_players_are_reserved_and_registered(program: Callable[[], Program]) -> None:
    one, two = program(), program()
    session_id = create(one).session_id
    join_in_time(two, session_id)
    decided: list[tuple[str, str, str]] = []
    two.manager.subscribeToPlayerReservations(session_id, lambda *what: decided.append(what))
    connected: list[str] = []
    one.manager.playerConnected.connect(connected.append)
    assert two.manager.reservePlayer(session_id, "Farmer")
    until(lambda: decided == [(two.clientId, "Farmer", "reserve")])
    until(lambda: not one.manager.isPlayerNameAvailable(session_id, "Farmer"))
    assert not one.manager.reservePlayer(session_id, "Farmer")
    assert two.manager.registerPlayer(session_id, "Farmer", 1, 4)
    until(lambda: connected == ["Farmer"])
    assert one.manager.getConnectedPlayers(session_id) == ["Farmer"]
    assert one.manager.waitForPlayers(session_id, 2, 4, timeout=LIMIT)


def test_sessions_are_discovered(program: Callable[[], Program]) -> None:
    one, two = program(), program()
    changes: list[dict[str, Any]] = []
    discovery = SGSessionDiscoveryManager(two.client, two.manager)
    discovery.on_sessions_updated(changes.append)
    documents: dict[str, SGDistributedSession] = {}
    discovery.on_session_state_updated(documents.__setitem__)
    discovery.start_discovery()
    session_id = str(uuid.uuid4())
    one.manager.publishSession(session_id, 2, 4, "Lake")
    until(lambda: session_id in discovery.available_sessions)
    until(lambda: session_id in documents)
    assert discovery.session_states_cache[session_id].model_name == "Lake"
    assert isinstance(discovery.available_sessions[session_id]["timestamp"], float)
    assert session_id in two.manager.discovered_sessions
    one.manager.registerPlayer(session_id, "Farmer", 2, 4)
    until(lambda: discovery.session_players_cache.get(session_id) == {"Farmer"})
    assert discovery.session_instances_cache[session_id] == {one.clientId}
    info = discovery.discovered_sessions[session_id]["info"]
    assert (info["model_name"], info["num_players_min"], info["clientId"]) == (
        "Lake",
        2,
        one.clientId,
    )
    assert changes
    one.manager.disconnect()
    until(lambda: session_id not in discovery.available_sessions)
    discovery.stop_discovery()


def test_ids_may_have_any_letters(program: Callable[[], Program]) -> None:
    # An original, as it writes its document: the id is in the topics as it is.
    one, two = program(), program()
    session_id = f"Game {uuid.uuid4()}.a"
    session = SGDistributedSession(session_id, one.clientId, "Lake")

    def publish(document: SGDistributedSession) -> None:
        payload = json.dumps(document.to_dict())
        one.client.publish(f"{session_id}/session_state", payload, qos=1, retain=True)

    publish(session)
    found: dict[str, Any] = {}
    two.manager.discoverSessions(found.update)
    until(lambda: session_id in found)
    seen: list[SGDistributedSession] = []
    two.manager.subscribeToSessionState(session_id, seen.append)
    until(lambda: bool(seen))
    assert seen[-1].session_id == session_id
    join_in_time(two, session_id)
    session.add_instance(two.clientId)
    publish(session)
    until(lambda: seen[-1].connected_instances == {one.clientId, two.clientId})
    two.manager.disconnect()

    # One of ours, whose topics have it in percent encoding.
    three, four = program(), program()
    session_id = f"Game {uuid.uuid4()}.b"
    three.manager.publishSession(session_id, 1, 4, "Forest")
    join_in_time(four, session_id)
    known = four.manager.readSessionState(session_id)
    assert known is not None
    assert known.session_id == session_id
    assert known.connected_instances == {three.clientId, four.clientId}


def test_a_seed_is_drawn_or_given(program: Callable[[], Program]) -> None:
    one = program()
    seeds = SGSeedSyncManager(one)
    assert 1 <= seeds.syncSeed("s-seed", initial_wait=0.1) <= 1_000_000
    assert seeds.is_leader
    assert seeds.syncSeed("s-seed", shared_seed=5) == seeds.synced_seed == 5


def test_a_seed_is_agreed_on_and_told(broker: str, program: Callable[[], Program]) -> None:
    one, two = program(), program()
    told: list[Any] = []
    seeds = SGSeedSyncManager(one.client, one.manager, None, None)
    seeds.on_seed_synced(told.append)
    seeds.on_instance_connected(told.append)
    seeds.seed_synced_signal.connect(lambda seed: told.append(("signal", seed)))
    with SessionManager(broker).create(seed=77) as session:
        assert seeds.sync_seed(session.id, timeout=LIMIT, initial_wait=LIMIT) == 77
        assert seeds.seed_synced and seeds.synced_seed_value == 77
        assert seeds.sync_seed(session.id, shared_seed=1) == 77
        until(lambda: session.instance in seeds.connected_instances)
    assert one.clientId in seeds.connected_instances
    assert {77, ("signal", 77), one.clientId, session.instance} == set(told)
    seeds.stop_tracking()
    seeds.reset()
    assert (seeds.seed_synced, seeds.connected_instances) == (False, set())
    assert SGSeedSyncManager(two).syncSeed("other", shared_seed=5) == 5


def test_the_programs_own_messages_come_as_before(program: Callable[[], Program]) -> None:
    one, two = program(), program()
    session_id = create(one).session_id
    assert two.manager.readSessionState(session_id, timeout=LIMIT)
    two.client.subscribe("other/topic")

    def is_heard() -> bool:
        # The subscription may come to the broker later than the first of these.
        one.client.publish("other/topic", b"x")
        return "other/topic" in two.others

    until(is_heard)
    # A handler that is set later hears everything, too, and takes nothing from the session.
    later: list[str] = []
    two.client.on_message = lambda _client, _data, message: later.append(message.topic)
    join_in_time(two, session_id)
    until(lambda: f"{session_id}/session_state" in later)


def test_without_a_connection_it_says_so() -> None:
    class Nothing:
        client = None
        clientId = "x"

    manager = SGDistributedSessionManager(None, Nothing())
    with pytest.raises(ValueError, match="MQTT client must be connected before registering player"):
        manager.registerPlayer("s", "Farmer", 1, 4)
    with pytest.raises(ValueError, match="MQTT client must be connected before syncing seed"):
        manager.syncSeed("s")
    assert SGDistributedSessionManager.getSessionTopics("s")[1] == "s/session_seed_sync"
    assert manager.isSessionTopic("s/session_instance_ready/x", "s")
    assert not manager.isSessionTopic("t/session_seed_sync", "s")


def test_signals_of_qt(program: Callable[[], Program]) -> None:
    core = pytest.importorskip("PyQt6.QtCore", reason="Qt is installed for one interpreter only")
    from distflow.sessions import qt

    application = core.QCoreApplication.instance() or core.QCoreApplication([])
    one, two = program(), program()
    manager = qt.SGDistributedSessionManager(None, one)
    heard: list[Any] = []
    threads: set[Any] = set()

    class Receiver(core.QObject):  # type: ignore[misc,name-defined]
        def hear(self, what: Any) -> None:
            heard.append(what)
            threads.add(core.QThread.currentThread())

    receiver = Receiver()
    manager.playerConnected.connect(receiver.hear)
    manager.playerDisconnected.connect(receiver.hear)
    manager.sessionsDiscovered.connect(receiver.hear)

    def until_heard(what: Any) -> None:
        def is_heard() -> bool:
            application.processEvents()
            return what in heard

        until(is_heard)

    session = SGDistributedSession(str(uuid.uuid4()), one.clientId, "Forest")
    manager.publishSessionState(session)
    assert manager.session_id == session.session_id
    assert manager.getSessionTopics("s") == one.manager.getSessionTopics("s")
    join_in_time(two, session.session_id)
    assert two.manager.registerPlayer(session.session_id, "Farmer", 1, 4)
    until_heard("Farmer")
    heard.clear()
    two.manager.disconnect()
    until_heard("Farmer")
    manager.discoverSessions()
    until(lambda: application.processEvents() or any(isinstance(one, dict) for one in heard))
    assert threads == {application.thread()}
    manager.disconnect()


def test_an_id_is_used_again_after_the_end(program: Callable[[], Program]) -> None:
    one, two = program(), program()
    first = create(one)
    session_id = first.session_id
    seen: list[SGDistributedSession] = []
    two.manager.subscribeToSessionState(session_id, seen.append)
    until(lambda: seen and seen[-1].state == "open")
    one.manager.disconnect()
    until(lambda: seen[-1].state == "closed")
    # Its creator has tidied up behind it, too, and nobody answers any more.
    until(lambda: one.manager._wrapped is not None and len(one.manager._wrapped._machines) == 1)
    # An old copy does not open it again; another session of this id is another one.
    two.client.subscribe("mark", qos=1)
    two.client.publish(f"{session_id}/session_state", json.dumps(seen[0].to_dict()), qos=1)
    two.client.publish("mark", qos=1)
    until(lambda: "mark" in two.others)
    again = SGDistributedSession(session_id, one.clientId, "Lake")
    one.manager.publishSessionState(again)
    until(lambda: seen[-1].model_name == "Lake" and seen[-1].state == "open")
    closed = next(at for at, session in enumerate(seen) if session.state == "closed")
    assert all(session.model_name == "Lake" for session in seen[closed + 1 :])
    join_in_time(two, session_id)
