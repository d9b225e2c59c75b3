"""Several handlers on one paho client, in order of priority."""

from __future__ import annotations

import dataclasses
import enum
import functools
import logging
import threading
from typing import Any, Callable, List, Union

from ..errors import InvalidArgumentError

_LOG = logging.getLogger("distflow")

Handler = Callable[[Any, Any, Any], object]


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a filter of MQTT matches a topic."""
    wanted, levels = topic_filter.split("/"), topic.split("/")
    for at, level in enumerate(wanted):
        if level == "#":
            return True
        if at >= len(levels) or level not in ("+", levels[at]):
            return False
    return len(wanted) == len(levels)


class HandlerPriority(enum.IntEnum):
    """Who is asked first."""

    HIGH = 1
    NORMAL = 2
    LOW = 3


@dataclasses.dataclass(frozen=True)
class _Entry:
    id: int
    matches: Callable[[str], bool]
    handler: Handler
    priority: HandlerPriority
    stops: bool
    description: str


# So many callbacks that were there before can call one another.
_PREVIOUS_MAX = 16


class SGMQTTHandlerManager:
    """Hands the messages of a paho client to handlers by topic.

    The client's own ``on_message`` is taken over once, by :meth:`install`, and called last;
    handlers come and go in any order without losing one another. A handler is called as
    ``handler(client, userdata, message)``; an exception in it is logged, and the next one is called
    nevertheless.
    """

    def __init__(self, mqtt_client: Any) -> None:
        self.mqtt_client = mqtt_client
        # Protects the entries; no handler runs under it.
        self._lock = threading.Lock()
        self._entries: List[_Entry] = []
        self._next_id = 1
        self._previous: List[Handler] = []
        # How often this manager has begun with the message that is under way on a thread.
        self._under_way = threading.local()

    def add_topic_handler(
        self,
        topic: str,
        handler_func: Handler,
        priority: HandlerPriority = HandlerPriority.NORMAL,
        stop_propagation: bool = False,
    ) -> int:
        """A handler for exactly one topic; gives its number."""
        return self._add(
            lambda given: given == topic, handler_func, priority, stop_propagation, topic
        )

    def add_prefix_handler(
        self,
        topic_prefix: str,
        handler_func: Handler,
        priority: HandlerPriority = HandlerPriority.NORMAL,
        stop_propagation: bool = False,
    ) -> int:
        """A handler for all topics that begin so; gives its number."""
        return self._add(
            lambda given: given.startswith(topic_prefix),
            handler_func,
            priority,
            stop_propagation,
            f"{topic_prefix}*",
        )

    def add_filter_handler(
        self,
        topic_filter: Union[str, Callable[[str], bool]],
        handler_func: Handler,
        priority: HandlerPriority = HandlerPriority.NORMAL,
        stop_propagation: bool = False,
        description: str = "",
    ) -> int:
        """A handler for the topics for which a function says yes, or that a filter of MQTT matches;
        gives its number."""
        is_wanted: Callable[[str], bool]
        if isinstance(topic_filter, str):
            is_wanted = functools.partial(matches, topic_filter)
            description = description or topic_filter
        elif callable(topic_filter):
            is_wanted = topic_filter
        else:
            raise TypeError("topic_filter must be a filter of MQTT or a function")
        return self._add(is_wanted, handler_func, priority, stop_propagation, description)

    def _add(
        self,
        matches: Callable[[str], bool],
        handler: Handler,
        priority: HandlerPriority,
        stops: bool,
        description: str,
    ) -> int:
        if not callable(handler):
            raise TypeError(f"a handler must be callable, not {type(handler).__name__}")
        try:
            priority = HandlerPriority(priority)
        except ValueError:
            raise InvalidArgumentError(
                f"a priority must be HIGH (1), NORMAL (2) or LOW (3), not {priority!r}"
            ) from None
        with self._lock:
            entry = _Entry(self._next_id, matches, handler, priority, stops, description)
            self._next_id += 1
            # By priority, and then in the order in which they were added.
            self._entries = sorted([*self._entries, entry], key=lambda one: (one.priority, one.id))
        return entry.id

    def remove_handler(self, handler_id: int) -> bool:
        """Takes a handler away; whether there was one of this number."""
        with self._lock:
            left = [entry for entry in self._entries if entry.id != handler_id]
            was_there = len(left) < len(self._entries)
            self._entries = left
        return was_there

    @property
    def client(self) -> Any:
        """The client, under the name that it had here before."""
        return self.mqtt_client

    def install(self) -> None:
        """Takes over the client's messages; what the client had for them before is called last.
        Safe to call again, also after somebody else has set ``on_message``: then theirs is called
        last."""
        with self._lock:
            current = self.mqtt_client.on_message
            if self._is_called_by(current):
                return
            if current is not None:
                # A program may set its own again and again.
                self._previous = [*self._previous[1 - _PREVIOUS_MAX :], current]
            self.mqtt_client.on_message = self._on_message

    def _is_called_by(self, callback: Any) -> bool:
        """Whether this manager gets what a callback gets: also as the last of other managers."""
        manager = getattr(callback, "__self__", None)
        while isinstance(manager, SGMQTTHandlerManager) and callback == manager._on_message:
            if manager is self:
                return True
            callback = manager._previous[-1] if manager._previous else None
            manager = getattr(callback, "__self__", None)
        return False

    def _on_message(self, client: Any, userdata: Any, message: Any) -> None:
        depth = getattr(self._under_way, "depth", 0)
        with self._lock:
            entries = self._entries
            # Called again by one that it calls last, it goes on with the one that it called before.
            previous = self._previous[-1 - depth] if depth < len(self._previous) else None
        if depth > 0:
            entries = []
        for entry in entries:
            try:
                if not entry.matches(message.topic):
                    continue
                entry.handler(client, userdata, message)
            except Exception:
                _LOG.exception("the handler of %s failed", entry.description or "a filter")
            if entry.stops:
                return
        if previous is None:
            return
        self._under_way.depth = depth + 1
        try:
            previous(client, userdata, message)
        finally:
            self._under_way.depth = depth
