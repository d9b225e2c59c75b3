"""The embedded PMD, and the client of any PMD."""

from __future__ import annotations

import copy
import gc
import socket
import threading
from typing import Any, Iterator

import pytest

import distflow
from distflow import Pmd, PmdClient, PmdOptions

from .conftest import LIMIT, until


@pytest.fixture
def client(pmd: Pmd) -> Iterator[PmdClient]:
    with PmdClient(port=pmd.port) as client:
        yield client


def test_an_embedded_pmd_tells_of_its_nodes(pmd: Pmd) -> None:
    told: list[Any] = []
    left = threading.Event()
    pmd.on("peer_join", told.append)
    pmd.on("peer_leave", lambda event: (told.append(event), left.set()))
    assert pmd.is_running and pmd.port > 0
    with distflow.Node(alias="a", pmd_port=pmd.port, auto_start=False) as node:
        [only] = pmd.nodes()
        assert (only.node_id, only.alias, only.port) == (node.node_id, "a", node.port)
    assert left.wait(LIMIT)
    assert [type(event).__name__ for event in told] == ["PeerJoin", "PeerLeave"]
    pmd.close()
    pmd.close()
    assert not pmd.is_running
    with pytest.raises(distflow.ClosedError):
        pmd.nodes()


def test_wrong_options_of_a_pmd_are_named(pmd: Pmd) -> None:
    with pytest.raises(distflow.AddressInUseError):
        Pmd(port=pmd.port)
    with pytest.raises(OSError):
        Pmd(PmdOptions(port=pmd.port))
    with pytest.raises(distflow.InsecureError):
        Pmd(host="0.0.0.0", port=0)
    with pytest.raises(TypeError, match="port must be an int"):
        Pmd(port="0")
    with pytest.raises(ValueError, match="there is no event"):
        pmd.on("nonsense", print)


def test_a_pmd_may_be_closed_from_its_handler() -> None:
    pmd = Pmd(port=0)
    pmd.on("peer_join", lambda event: pmd.close())
    stopped = threading.Event()
    pmd.on("stopped", lambda event: stopped.set())
    with PmdClient(port=pmd.port) as client:
        client.register("x", None, "localhost", 1)
    until(lambda: not pmd.is_running)


def test_a_client_registers_resolves_and_watches(pmd: Pmd, client: PmdClient) -> None:
    with PmdClient(port=pmd.port) as watcher:
        assert watcher.watch() == []
        client.register("id-1", "one", "localhost", 4_001, {"zone": "x"})
        client.register("id-2", None, "localhost", 4_002)
        client.heartbeat("id-1")
        assert client.resolve("one") == client.resolve("id-1")
        found = client.resolve("one")
        assert (found.node_id, found.port, found.meta) == ("id-1", 4_001, {"zone": "x"})
        assert [peer.node_id for peer in client.list()] == ["id-1", "id-2"]
        assert [peer.node_id for peer in client.list("on")] == ["id-1"]
        client.unregister("id-2")
        events = [watcher.next_event(LIMIT) for _ in range(3)]
        assert [(type(event).__name__, event.peer.node_id) for event in events] == [
            ("PeerJoin", "id-1"),
            ("PeerJoin", "id-2"),
            ("PeerLeave", "id-2"),
        ]
        with pytest.raises(TimeoutError):
            watcher.next_event(0.01)
        client.close()
        last = watcher.next_event(LIMIT)
        assert (last.peer.node_id, last.reason) == ("id-1", "closed")  # type: ignore[union-attr]


def test_what_the_pmd_refuses_has_its_class(client: PmdClient, pmd: Pmd) -> None:
    client.register("id-1", "one", "localhost", 4_001)
    with PmdClient(port=pmd.port) as other:
        with pytest.raises(distflow.AliasInUseError, match=r"^Alias 'one' already in use$"):
            other.register("id-2", "one", "localhost", 4_002)
        with pytest.raises(distflow.NodeIdInUseError):
            other.register("id-1", "two", "localhost", 4_003)
    with pytest.raises(distflow.NodeNotFoundError, match=r"^Node not found$"):
        client.resolve("nobody")
    with pytest.raises(distflow.InvalidArgumentError):
        client.register("", None, "localhost", 1)
    with pytest.raises(distflow.InvalidArgumentError, match="port must be 0 to 65535, not 70000"):
        client.register("x", None, "localhost", 70_000)
    with pytest.raises(distflow.InvalidArgumentError, match="port must be 1 to 65535"):
        client.register("x", None, "localhost", 0)
    with pytest.raises(TypeError, match="meta must be a mapping"):
        client.register("x", None, "localhost", 1, meta=[1])  # type: ignore[arg-type]
    with pytest.raises(distflow.InvalidArgumentError, match="meta: a key of a dict must be a str"):
        client.register("x", None, "localhost", 1, meta={1: 2})  # type: ignore[dict-item]
    client.register("with-meta", "", "localhost", 1, meta={"zone": "x"})
    assert (client.resolve("with-meta").alias, client.resolve("with-meta").meta) == (
        None,
        {"zone": "x"},
    )
    client.close()
    with pytest.raises(distflow.ClosedError):
        client.list()


def test_without_a_pmd_and_with_something_else_there() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        with pytest.raises(ConnectionError) as caught:
            PmdClient(port=port, timeout=5)
        assert isinstance(caught.value, distflow.PmdUnavailableError)
        with pytest.raises(distflow.PmdUnavailableError):
            distflow.Node(pmd_port=port, auto_start=False)
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1_000)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(distflow.NotPmdError):
            PmdClient("127.0.0.1", port)
        thread.join(LIMIT)


def test_what_is_forgotten_warns_and_says_what_it_is(pmd: Pmd) -> None:
    client = PmdClient(port=pmd.port)
    assert repr(client) == f"<distflow.PmdClient localhost:{pmd.port}>"
    with pytest.warns(ResourceWarning, match="unclosed <distflow.PmdClient"):
        del client
        gc.collect()
    other = Pmd(port=0)
    assert repr(other) == f"<distflow.Pmd port={other.port}>"
    with pytest.warns(ResourceWarning, match="unclosed <distflow.Pmd port"):
        del other
        gc.collect()
    with pytest.raises(TypeError, match="a Pmd can't be copied or pickled"):
        copy.copy(pmd)
