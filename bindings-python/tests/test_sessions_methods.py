"""Calls of methods: what was allowed, and nothing else."""

from __future__ import annotations

import json

import pytest

from distflow import InvalidArgumentError
from distflow.sessions import ObjectIdentifier, RemoteMethods, SessionEvent


def event(payload: object, name: str = "execute_method") -> SessionEvent:
    text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return SessionEvent(type="game", name=name, payload=text)


def call(**changes: object) -> dict[str, object]:
    target = {"class_name": "Farm", "id": 7, "method": "harvest"}
    return {"clientId": "bb", "objectAndMethod": target, "listOfArgs": [3], **changes}


def test_what_is_allowed_is_called_and_nothing_else() -> None:
    methods = RemoteMethods("aa")
    calls: list[tuple[object, ...]] = []
    methods.allow("Farm", "harvest", lambda *given: calls.append(given))
    assert methods.handle(event(call()))
    assert methods.handle(
        event(call(listOfArgs=[["SGObjectIdentifer", "f1"], [1, 2], {"a": None}]))
    )
    assert methods.handle(event(call(), "gameAction_performed"))
    assert calls == [(7, 3), (7, ObjectIdentifier("f1"), [1, 2], {"a": None}), (7, 3)]
    # Its own, another topic, and another event.
    assert not methods.handle(event(call(clientId="aa")))
    assert not methods.handle(event(call(), "nextTurn"))
    assert not methods.handle(SessionEvent(type="joined"))
    for class_name, method in [("Farm", "__init__"), ("Farm", "burn"), ("os", "system"), ("", "")]:
        target = {"class_name": class_name, "id": 7, "method": method}
        assert not methods.handle(event(call(objectAndMethod=target)))
    assert len(calls) == 3
    assert methods.refused == 4
    assert methods.ignored == 0


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        b"{",
        b"[]",
        b"1",
        b"[" * 100_000,
        {"clientId": "bb"},
        call(objectAndMethod=["Farm", 7, "harvest"]),
        call(objectAndMethod={"class_name": "Farm", "method": "harvest"}),
        call(objectAndMethod={"class_name": {}, "id": 1, "method": []}),
        call(listOfArgs={"a": 1}),
        call(listOfArgs="abc"),
    ],
)
def test_what_is_no_call_is_counted(payload: object) -> None:
    methods = RemoteMethods("aa")
    methods.allow("Farm", "harvest", lambda *given: pytest.fail(f"called with {given}"))
    assert not methods.handle(event(payload))
    assert (methods.ignored, methods.refused) == (1, 0)


def test_messages_are_the_originals() -> None:
    theirs, ours = RemoteMethods("bb"), RemoteMethods("aa")
    payload = theirs.message("Farm", 7, "harvest", 3, ObjectIdentifier("f1"), [1])
    assert json.loads(payload) == {
        "clientId": "bb",
        "objectAndMethod": {"class_name": "Farm", "id": 7, "method": "harvest"},
        "listOfArgs": [3, ["SGObjectIdentifer", "f1"], [1]],
    }
    calls: list[tuple[object, ...]] = []
    ours.allow("Farm", "harvest", lambda *given: calls.append(given))
    assert ours.handle(event(payload))
    assert calls == [(7, 3, ObjectIdentifier("f1"), [1])]
    with pytest.raises(TypeError):
        theirs.message("Farm", 7, "harvest", object())
    with pytest.raises(InvalidArgumentError, match="method"):
        theirs.message("Farm", 7, "")


def test_wrong_names_and_functions_are_refused() -> None:
    methods = RemoteMethods("aa")
    with pytest.raises(TypeError, match="function must be callable"):
        methods.allow("Farm", "harvest", 1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="class_name must be a str"):
        methods.allow(1, "harvest", print)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="class_name"):
        methods.allow("", "harvest", print)


def test_an_exception_of_a_method_is_the_callers() -> None:
    methods = RemoteMethods("aa")
    methods.allow("Farm", "harvest", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        methods.handle(event(call()))
