"""Game sessions, on the broker that the package's own program brings."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import distflow
from distflow import sessions
from distflow.sessions import (
    ConnectionState,
    HandlerPriority,
    Session,
    SessionManager,
    SGConnectionStateManager,
    SGDistributedGameConfig,
    SGDistributedSession,
    SGMQTTHandlerManager,
    aio,
    types,
)

from .conftest import LIMIT, in_time, until


def test_two_meet_and_one_leaves(broker: str) -> None:
    manager = SessionManager(broker)
    with manager.create(model_name="Forest", players_max=3, seed=7) as one:
        assert (one.state, one.seed, one.is_in, one.view.role) == ("open", 7, True, "creator")
        two = manager.join(one.id)
        assert one.wait_for("member_joined").instance == two.instance
        assert two.members == (one.instance, two.instance) == one.members
        until(lambda: two.seed == 7)
        two.leave()
        two.leave()
        assert one.wait_for("member_left").instance == two.instance
        assert two.view.ending == "left"
        assert not two.is_in
        assert [event.type for event in two][-1] == "ended"


def test_events_come_by_callback(broker: str) -> None:
    manager = SessionManager(broker)
    seen: list[str] = []
    came = threading.Event()

    def broken(_: sessions.SessionEvent) -> None:
        raise RuntimeError("a broken handler")

    with manager.create() as one:
        one.on(broken)
        end = one.on(lambda event: (seen.append(event.instance or ""), came.set()), "member_joined")
        with manager.join(one.id) as two:
            assert came.wait(LIMIT)
            assert seen == [two.instance]
        end()
        came.clear()
        with manager.join(one.id):
            until(lambda: len(one.members) == 2)
        assert seen == [two.instance]
        with pytest.raises(TypeError, match="must be callable"):
            one.on(5)  # type: ignore[arg-type]


def test_a_game_is_prepared_played_and_closed(broker: str) -> None:
    manager = SessionManager(broker)
    with manager.create(players_min=2) as one:
        with pytest.raises(distflow.RefusedError, match="1 of at least 2 members"):
            one.start()
        two = manager.join(one.id)
        two.reserve("Farmer")
        assert one.wait_for("reserved").player == "Farmer"
        assert two.wait_for("reserved").instance == two.instance
        with pytest.raises(distflow.RefusedError, match="is taken"):
            one.reserve("Farmer")
        two.register("Farmer")
        one.register("Hunter")
        two.wait_for("all_players_selected")
        assert dict(two.view.registered) == {"Farmer": two.instance, "Hunter": one.instance}
        one.start(countdown_s=1)
        assert two.wait_for("game_started").kind == "manual"
        with pytest.raises(distflow.RefusedError, match="only the session's creator"):
            two.start()
        two.publish("nextTurn", b'{"clientId": "\xff"}')
        said = one.wait_for("game")
        assert (said.name, said.payload) == ("nextTurn", b'{"clientId": "\xff"}')
        with pytest.raises(distflow.RefusedError, match="has started"):
            manager.join(one.id)
        one.close()
        with pytest.raises(distflow.ClosedError, match="the session is over"):
            one.publish("nextTurn", b"")
        ended = two.wait_for("ended")
        assert (ended.reason, ended.text) == ("closed", "The session has been closed.")
        # It tidies up, and says nothing more.
        assert list(two) == []
    with pytest.raises(distflow.InvalidArgumentError, match="a surrogate that stands alone"):
        SessionManager(broker, username="\ud800")


def test_a_session_is_handed_over(broker: str) -> None:
    manager = SessionManager(broker)
    one = manager.create(hand_over=True)
    two = manager.join(one.id)
    one.hand_over()
    assert two.wait_for("creator_changed").creator == two.instance
    assert two.view.role == "creator"
    assert two.view.term == 1
    one.leave()
    two.leave()


def test_the_list_is_live_and_ready_to_be_drawn(broker: str) -> None:
    manager = SessionManager(broker)
    with manager.list() as listed, manager.create(model_name="Lake", players_max=2) as one:

        def texts(own: str | None) -> list[str]:
            return [row.text for row in listed.rows(own) if row.session_id == one.id]

        until(lambda: texts(None) == ["Lake (1/1-2 instances (Ready))"])
        assert texts(one.id) == ["Lake ✓ (1/1-2 instances (Ready))"]
        assert listed.is_connected
        listed.rows()
        with manager.join(one.id):
            assert listed.wait_changed(LIMIT)
            until(lambda: texts(None) == ["Lake (2/2 instances (Full))"])
            row = next(row for row in listed.rows() if row.session_id == one.id)
            assert (row.foreground, row.is_italic, row.is_full) == ("#888", True, True)
        found = next(found for found in listed.sessions if found.session_id == one.id)
        assert found.creator == one.instance
    with pytest.raises(distflow.ClosedError):
        listed.rows()


def test_ten_threads_join_at_once(broker: str) -> None:
    manager = SessionManager(broker)
    with manager.create(players_max=11) as one, contextlib.ExitStack() as stack:
        joined: list[Session] = []
        barrier = threading.Barrier(10)

        def join() -> None:
            barrier.wait(LIMIT)
            joined.append(stack.enter_context(manager.join(one.id)))

        threads = [threading.Thread(target=join) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)
        assert len(joined) == 10
        for session in joined:
            until(lambda session=session: len(session.members) == 11)


def test_asyncio(broker: str) -> None:
    async def play() -> None:
        manager = aio.SessionManager(broker)
        async with await manager.create(players_max=5) as one:
            joined = await asyncio.gather(*(manager.join(one.id) for _ in range(4)))
            async for event in one:
                if event.type == "member_joined" and len(one.members) == 5:
                    break
            listed = await manager.list()
            async with listed:
                while one.id not in [found.session_id for found in listed.sessions]:
                    await listed.changed()
            # A wait that is given up takes nothing with it.
            waiting = asyncio.ensure_future(joined[0].wait_for("ended"))
            await asyncio.sleep(0.05)
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting
            await one.close()
            ended = await joined[0].wait_for("ended")
            assert ended.reason == "closed"
            await asyncio.gather(*(session.leave() for session in joined))

    asyncio.run(asyncio.wait_for(play(), LIMIT))


def test_what_is_wrong_is_named(broker: str) -> None:
    manager = SessionManager(broker)
    for make, error, words in [
        (lambda: SessionManager("http://x"), distflow.InvalidArgumentError, "begins with mqtt"),
        (lambda: SessionManager(5), TypeError, "url must be a str"),
        (lambda: SessionManager("mqtt://x", ca="x"), TypeError, "no option 'ca'"),
        (
            lambda: SessionManager("mqtt://x", mqtt_version="4"),
            distflow.InvalidArgumentError,
            "'auto', '3.1.1' or '5'",
        ),
        (
            lambda: SessionManager("mqtt://x", cert_file="c"),
            distflow.InvalidArgumentError,
            "both files",
        ),
        (lambda: manager.join(""), distflow.InvalidArgumentError, "is empty"),
        (lambda: manager.join("a/b"), distflow.InvalidArgumentError, "'/'"),
        (lambda: manager.join(5), TypeError, "session_id must be a str"),
        (lambda: manager.join("x", 5), TypeError, "instance must be a str"),
        (lambda: manager.create(5), TypeError, "session_id must be a str"),
        (lambda: manager.join("nowhere"), distflow.RefusedError, "no session of this id"),
        (
            lambda: manager.create(players_max=0),
            distflow.InvalidArgumentError,
            "players_max must be 1 to 1024",
        ),
        (lambda: manager.create(players=3), TypeError, "no option 'players'"),
        (
            lambda: SessionManager("mqtt://127.0.0.1:1", connect_timeout_ms=300).list(),
            distflow.TimeoutError,
            "not reached in time",
        ),
    ]:
        with pytest.raises(error, match=words):
            make()  # type: ignore[no-untyped-call]
    for wrong in ({"seed": "7"}, {"players_max": -1}, {"players_min": 1.5}, {"hand_over": 1}):
        name = next(iter(wrong))
        with pytest.raises(distflow.InvalidArgumentError, match=f"{name} must be"):
            manager.create(**wrong)  # type: ignore[arg-type]
    with manager.create("s-taken") as one:
        with pytest.raises(distflow.RefusedError, match="exists already"):
            manager.create("s-taken")
        with pytest.raises(distflow.RefusedError, match="the same instance id"):
            manager.join("s-taken", one.instance)
        until(lambda: one.view.is_connected)
        for call, error, words in [
            (lambda: one.reserve(""), distflow.InvalidArgumentError, "is empty"),
            (lambda: one.publish("x", "text"), TypeError, "must be bytes"),
            (lambda: one.publish("a/b", b""), distflow.InvalidArgumentError, "'/'"),
            (lambda: one.publish("x", bytes(70_000)), distflow.TooLargeError, "70000 bytes"),
            (one.hand_over, distflow.RefusedError, "without hand_over"),
            (lambda: one.start("3"), TypeError, "countdown_s must be an int"),
            (lambda: one.hand_over(5), TypeError, "to must be a str"),
            (lambda: one.next_event("x"), TypeError, "timeout must be None or a number"),
            (lambda: one.next_event(-1), distflow.InvalidArgumentError, "timeout must be"),
            (lambda: one.start(-1), distflow.InvalidArgumentError, "countdown_s must be 0 to"),
            (lambda: one.on(print, "nope"), distflow.InvalidArgumentError, "no event 'nope'"),
            (lambda: one.wait_for("nope"), distflow.InvalidArgumentError, "no event 'nope'"),
            (lambda: one.wait_for("game", 0.05), distflow.TimeoutError, "within 0.05 s"),
        ]:
            with pytest.raises(error, match=words):
                call()  # type: ignore[no-untyped-call]


def test_what_was_left_can_be_read_and_does_nothing(broker: str) -> None:
    one = SessionManager(broker).create()
    one.leave()
    assert one.view.ending == "left"
    for call in (one.start, one.close, lambda: one.reserve("x"), lambda: one.publish("x", b"")):
        with pytest.raises(distflow.ClosedError):
            call()
    with pytest.raises(distflow.ClosedError, match="there was no event 'game'"):
        one.wait_for("game")


# In one piece, whatever a callback of another thread prints meanwhile.
LAST_LINE = """
import sys, time; sys.stdout.write(f"\\n{time.monotonic()}\\n")
"""


def test_the_interpreter_ends_with_open_sessions(broker: str) -> None:
    code = f"""
from distflow.sessions import SessionManager
manager = SessionManager({broker!r})
one = manager.create()
two = manager.join(one.id)
two.on(print)
listed = manager.list()
"""
    ran = subprocess.run(
        [sys.executable, "-X", "dev", "-c", code + LAST_LINE],
        check=False,
        capture_output=True,
        text=True,
        timeout=2 * LIMIT,
    )
    ended = time.monotonic()
    assert (ran.returncode, ran.stderr) == (0, "")
    # Events may be printed before and after it.
    said = [line for line in ran.stdout.splitlines() if line.replace(".", "").isdigit()]
    in_time(ended - float(said[0]), 3)


# ---------------------------------------------------------------- the originals' classes

DOCUMENT = {
    "session_id": "s",
    "creator_client_id": "aa",
    "model_name": "Forest",
    "state": "open",
    "connected_instances": ["bb", "aa"],
    "version": 3,
    "last_heartbeat": "2026-11-26T14:05:06.000007",
    "created_at": "2026-11-26T14:05:01",
    "last_updated": "2026-11-26T14:05:06.000007",
    "num_players_min": 2,
    "num_players_max": 3,
}


def test_documents_are_read_and_written_as_by_the_originals() -> None:
    session = SGDistributedSession.from_dict(DOCUMENT)
    assert session.to_dict() == {**DOCUMENT, "connected_instances": ["aa", "bb"]}
    assert json.dumps(session.to_dict())
    other = SGDistributedSession("x", "y")
    assert other.from_dict(DOCUMENT) is other
    assert other.session_id == "s"
    for text, is_read in [
        ("2026-11-26T13:05:06Z", True),
        ("2026-11-26T13:05:06.1234567+01:00", True),
        ("x", False),
    ]:
        read = SGDistributedSession.from_dict({**DOCUMENT, "created_at": text})
        assert (read.created_at.year == 2026) and read.created_at.tzinfo is None
        assert is_read == (read.created_at.second == 6) or not is_read
    for word, state in [("starting", "started"), ("in_progress", "started"), ("paused", "paused")]:
        read = SGDistributedSession.from_dict({**DOCUMENT, "state": word})
        assert (read.state, read.is_open()) == (state, False)


def test_a_document_keeps_its_rules() -> None:
    session = SGDistributedSession("s", "aa", num_players_max=2)
    assert session.is_creator("aa") and session.is_joinable() and session.is_active()
    assert session.add_instance("bb")
    assert not session.add_instance("bb")
    assert session.connected_instances == {"aa", "bb"}
    assert (session.version, session.get_num_connected()) == (2, 2)
    assert session.remove_instance("bb")
    assert not session.remove_instance("bb")
    session.start()
    assert session.is_started() and not session.can_accept_more_instances()
    assert not session.is_expired()
    session.close()
    session.close()
    session.start()
    assert session.is_closed() and session.is_expired() and session.version == 6


def test_configuration() -> None:
    config = SGDistributedGameConfig()
    config.assigned_player_name = "Farmer"
    assert config.generate_session_id() == config.session_id
    assert 1 <= config.generate_shared_seed() <= 1_000_000
    config.set_num_players((2, 4))
    assert (config.num_players_min, config.num_players_max) == (2, 4)
    config.set_num_players(3)
    assert (config.num_players, config.validate()) == (3, (True, None))
    for wrong in (0, (3, 2), (1, 2, 3), "4", True):
        with pytest.raises(ValueError, match="num_players"):
            config.set_num_players(wrong)  # type: ignore[arg-type]


def test_the_state_of_the_dialog() -> None:
    changes: list[tuple[ConnectionState, ConnectionState]] = []
    state = SGConnectionStateManager()
    state.on_state_changed(lambda *change: changes.append(change))
    assert state.transition_to("connecting")
    assert state.transition_to(ConnectionState.CONNECTING) and len(changes) == 1
    assert state.update_counts(1, 2, 4) is ConnectionState.WAITING
    assert state.update_counts(2, 2, 4) is ConnectionState.READY_MIN
    assert state.update_counts(4, 2, 4) is ConnectionState.READY_MAX
    assert state.is_ready() and len(changes) == 4


class Client:
    """As much of a paho client as the handlers see."""

    on_message: Any = None


class Message:
    def __init__(self, topic: str) -> None:
        self.topic = topic


def test_several_managers_of_handlers_share_a_client() -> None:
    client, calls = Client(), []
    client.on_message = lambda *_: calls.append("program")
    one, two = SGMQTTHandlerManager(client), SGMQTTHandlerManager(client)
    one.add_prefix_handler("", lambda *_: calls.append("one"))
    two.add_prefix_handler("", lambda *_: calls.append("two"))
    for manager in (one, two, one, two, one):
        manager.install()
    client.on_message(client, None, Message("t"))
    assert calls == ["two", "one", "program"]
    # Also with something between that they know nothing of.
    inner = client.on_message

    def between(*arguments: Any) -> None:
        calls.append("between")
        inner(*arguments)

    client.on_message = between
    one.install()
    two.install()
    calls.clear()
    client.on_message(client, None, Message("t"))
    assert sorted(calls) == ["between", "one", "program", "two"]
    calls.clear()
    client.on_message(client, None, Message("t"))
    assert len(calls) == 4
    # What a program sets again and again is not kept.
    for at in range(100):
        client.on_message = lambda *_, at=at: calls.append(at)
        one.install()
    assert len(one._previous) <= 16
    calls.clear()
    client.on_message(client, None, Message("t"))
    assert calls == ["one", 99]


def test_handlers_are_called_in_order_and_none_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    client, calls = Client(), []
    client.on_message = lambda *_: calls.append("previous")
    handlers = SGMQTTHandlerManager(client)
    handlers.install()
    handlers.install()

    def broken(*_: Any) -> None:
        calls.append("broken")
        raise RuntimeError

    handlers.add_prefix_handler("a/", lambda *_: calls.append("low"), HandlerPriority.LOW)
    normal = handlers.add_topic_handler("a/b", lambda *_: calls.append("normal"))
    handlers.add_filter_handler(lambda topic: "b" in topic, broken, HandlerPriority.HIGH)
    handlers.add_filter_handler("+/b/#", lambda *_: calls.append("filter"), HandlerPriority.LOW)
    client.on_message(client, None, Message("a/b"))
    assert calls == ["broken", "normal", "low", "filter", "previous"]
    assert "failed" in caplog.text
    calls.clear()
    assert handlers.remove_handler(normal) and not handlers.remove_handler(normal)
    handlers.add_topic_handler("a/c", lambda *_: calls.append("stop"), 1, stop_propagation=True)
    client.on_message(client, None, Message("a/c"))
    assert calls == ["stop"]
    # What somebody sets later is called last from then on, and nobody is called twice.
    client.on_message = lambda *_: calls.append("later")
    handlers.install()
    calls.clear()
    client.on_message(client, None, Message("x"))
    assert calls == ["later"]
    with pytest.raises(distflow.InvalidArgumentError, match="a priority must be"):
        handlers.add_topic_handler("a", print, 7)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="must be callable"):
        handlers.add_topic_handler("a", None)  # type: ignore[arg-type]


def test_the_counter_has_the_originals_texts() -> None:
    assert types.count_text(2, 2, 4) == "Instances: 2/4 connected ✓ (min)"
    assert Path(sessions.__file__).name == "__init__.py"
