"""A client that the program has connected already, and what of distflow runs on it."""

from __future__ import annotations

import logging
import queue
import threading
import time
from typing import Any, Callable, Dict, List, Optional, Protocol, Tuple

from .handlers import HandlerPriority, SGMQTTHandlerManager, matches

_LOG = logging.getLogger("distflow")

# How often it is looked whether the client is connected.
_LOOK_S = 0.25


class Machine(Protocol):
    """A seat or a list of the native module."""

    def connected(self) -> None:
        """There is a connection."""

    def disconnected(self) -> None:
        """There is none."""

    def tick(self) -> None:
        """Time passes."""

    def wait_s(self) -> Optional[float]:
        """Seconds until that is to be said."""

    def actions(self) -> List[Tuple[Any, str, Optional[bytes], bool]]:
        """What is to be done."""


class Wrapped:
    """Drives machines on a client like paho's, on a thread of its own. No callback of the client's
    is replaced but ``on_message``, and what the program has for it is called last.

    The client has no will for them. A program that dies is noticed by its lease, 15 s later.
    """

    def __init__(self, client: Any) -> None:
        self.client = client
        self._handlers = SGMQTTHandlerManager(client)
        # Protects what follows; nothing else runs under it.
        self._lock = threading.RLock()
        self._machines: List[Tuple[Machine, Callable[[str, bytes, bool], None]]] = []
        self._filters: Dict[str, int] = {}
        self._after: Dict[int, Callable[[], None]] = {}
        self._changed = threading.Condition(self._lock)
        self._inbox: queue.SimpleQueue[Optional[Tuple[str, bytes, bool]]] = queue.SimpleQueue()
        self._thread: Optional[threading.Thread] = None
        self._is_connected = False
        self._is_stopped = False
        self._handler_id: Optional[int] = None
        self._turns = 0
        # The machine after whose turn something is being called.
        self._calls: Optional[int] = None

    def add(
        self,
        machine: Machine,
        message: Callable[[str, bytes, bool], None],
        after: Callable[[], None],
    ) -> None:
        """Drives a machine from now on; ``after`` is called on the thread after each turn."""
        with self._lock:
            self._machines.append((machine, message))
            self._after[id(machine)] = after
            if self._is_connected:
                machine.connected()
            if self._thread is None:
                self._handlers.install()
                self._handler_id = self._handlers.add_filter_handler(
                    self._is_ours,
                    self._on_message,
                    HandlerPriority.HIGH,
                    description="sessions",
                )
                self._thread = threading.Thread(
                    target=self._run, name="distflow-sessions", daemon=True
                )
                self._thread.start()
        self._inbox.put(None)

    def remove(self, machine: Machine) -> None:
        """Drives it no longer: when this returns, what is called after its turns has returned, too,
        unless that takes longer than 2 seconds, or it is what calls this."""
        with self._lock:
            self._machines = [entry for entry in self._machines if entry[0] is not machine]
            self._after.pop(id(machine), None)
            if threading.current_thread() is not self._thread:
                self._changed.wait_for(lambda: self._calls != id(machine), 2)

    def wake(self) -> None:
        """Something is to be done."""
        self._inbox.put(None)

    def wait_for(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Waits on the calling thread; whether the condition came true. On the client's own thread,
        where waiting would keep it from coming true, it only looks."""
        deadline = time.monotonic() + timeout
        with self._changed:
            if threading.current_thread() is getattr(self.client, "_thread", None):
                return condition()
            while not condition():
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(min(left, _LOOK_S))
        return True

    def wait_said(self, is_known: Callable[[], bool], timeout: float) -> None:
        """Waits until what is to be done now was handed to the client, and the condition came true
        or there is no connection by which it could."""
        # A turn holds this to its end, so those that are counted after it begin after it.
        with self._lock:
            turns = self._turns
        self.wake()
        self.wait_for(
            lambda: self._turns > turns and (is_known() or not self._is_connected),
            timeout,
        )

    def stop(self) -> None:
        """Drives nothing any more."""
        with self._lock:
            self._is_stopped = True
            thread = self._thread
            if self._handler_id is not None:
                self._handlers.remove_handler(self._handler_id)
        self._inbox.put(None)
        if thread is not None and thread is not threading.current_thread():
            thread.join(2)

    def _is_ours(self, topic: str) -> bool:
        with self._lock:
            return any(matches(topic_filter, topic) for topic_filter in self._filters)

    def _on_message(self, _client: Any, _userdata: Any, message: Any) -> None:
        self._inbox.put((message.topic, bytes(message.payload), bool(message.retain)))

    def _run(self) -> None:
        while True:
            with self._lock:
                if self._is_stopped and not self._machines:
                    return
                self._look()
                waits = [machine.wait_s() for machine, _ in self._machines]
            wait = min([_LOOK_S, *(wait for wait in waits if wait is not None)])
            taken = []
            try:
                taken.append(self._inbox.get(timeout=max(wait, 0.001)))
                while True:
                    taken.append(self._inbox.get_nowait())
            except queue.Empty:
                pass
            try:
                self._turn([one for one in taken if one is not None])
            except Exception:
                _LOG.exception("a turn of the sessions failed")
            if self._is_stopped:
                return

    def _look(self) -> None:
        # The program may have set its own handler meanwhile.
        self._handlers.install()
        is_connected = bool(self.client.is_connected())
        if is_connected == self._is_connected:
            return
        self._is_connected = is_connected
        for machine, _ in self._machines:
            if is_connected:
                machine.connected()
            else:
                machine.disconnected()
        if not is_connected:
            self._filters.clear()

    def _turn(self, messages: List[Tuple[str, bytes, bool]]) -> None:
        with self._changed:
            for topic, payload, retained in messages:
                for _, message in self._machines:
                    message(topic, payload, retained)
            for machine, _ in self._machines:
                machine.tick()
                self._carry_out(machine)
            machines = [id(machine) for machine, _ in self._machines]
            self._turns += 1
            self._changed.notify_all()
        for machine_id in machines:
            with self._lock:
                call = self._after.get(machine_id)
                self._calls = machine_id
            try:
                if call is not None:
                    call()
            finally:
                with self._changed:
                    self._calls = None
                    self._changed.notify_all()

    def _carry_out(self, machine: Machine) -> None:
        for kind, topic, payload, retain in machine.actions():
            if kind == "subscribe":
                self._filters[topic] = self._filters.get(topic, 0) + 1
                self.client.subscribe(topic, qos=1)
            elif kind == "unsubscribe":
                left = self._filters.pop(topic, 0) - 1
                if left > 0:
                    self._filters[topic] = left
                else:
                    self.client.unsubscribe(topic)
            else:
                self.client.publish(topic, payload, qos=1, retain=retain)
