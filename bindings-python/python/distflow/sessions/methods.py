"""Calls of methods by other instances, of those only that a program has allowed."""

from __future__ import annotations

import dataclasses
import json
import logging
import threading
from typing import Any, Callable, Dict, Mapping, Tuple, Union

from ..errors import InvalidArgumentError
from .types import SessionEvent

_LOG = logging.getLogger("distflow")

# As the originals spell it.
_IDENTIFIER = "SGObjectIdentifer"

ObjectId = Union[int, str]
Method = Callable[..., object]


@dataclasses.dataclass(frozen=True)
class ObjectIdentifier:
    """An argument that stands for an object of the game."""

    id: ObjectId


class RemoteMethods:
    """What other instances may call, by messages ``execute_method`` and ``gameAction_performed`` of
    the originals. The originals call whatever a message names; here nothing is called that was not
    allowed by class and method, and nothing is looked up by name.

    .. code-block:: python

        methods = RemoteMethods(session.instance)
        methods.allow("Farm", "harvest", lambda farm_id, amount: farms[farm_id].harvest(amount))
        session.on("game", methods.handle)

        session.publish("execute_method", methods.message("Farm", 7, "harvest", 3))
    """

    NAMES = frozenset(("execute_method", "gameAction_performed"))
    """The messages of the game that are calls."""

    def __init__(self, instance: str) -> None:
        self._instance = instance
        self._allowed: Dict[Tuple[str, str], Method] = {}
        # Protects the counters.
        self._lock = threading.Lock()
        self._refused = 0
        self._ignored = 0

    @property
    def refused(self) -> int:
        """Calls of what is not allowed."""
        return self._refused

    @property
    def ignored(self) -> int:
        """Messages that are no call."""
        return self._ignored

    def allow(self, class_name: str, method: str, function: Method) -> None:
        """Lets others call a method. The function gets the object's id and the arguments: JSON
        values, and :class:`ObjectIdentifier` for those that stand for objects.

        Errors: ``TypeError``; ``InvalidArgumentError`` for an empty name.
        """
        _checked_name(class_name, "class_name")
        _checked_name(method, "method")
        if not callable(function):
            raise TypeError(f"function must be callable, not {type(function).__name__}")
        self._allowed[(class_name, method)] = function

    def handle(self, event: SessionEvent) -> bool:
        """Carries out the call of an event, if it is one of another instance that is allowed;
        whether it was. An exception of the function goes on to whoever called this."""
        if event.type != "game" or event.name not in self.NAMES:
            return False
        try:
            given = json.loads(event.payload or b"")
            sender, target = given["clientId"], given["objectAndMethod"]
            key = (target["class_name"], target["method"])
            object_id, arguments = target["id"], _read(given.get("listOfArgs", []))
            function = self._allowed.get(key)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            with self._lock:
                self._ignored += 1
            _LOG.debug("a message %s is no call: %s", event.name, error)
            return False
        if sender == self._instance:
            return False
        if function is None:
            with self._lock:
                self._refused += 1
            _LOG.warning("%s wants to call %s.%s, which is not allowed", sender, *key)
            return False
        function(object_id, *arguments)
        return True

    def message(self, class_name: str, object_id: ObjectId, method: str, *arguments: Any) -> bytes:
        """The payload that calls a method of the other instances.

        Errors: ``TypeError`` for what can't be JSON; ``InvalidArgumentError`` for an empty name.
        """
        _checked_name(class_name, "class_name")
        _checked_name(method, "method")
        call: Mapping[str, Any] = {
            "clientId": self._instance,
            "objectAndMethod": {"class_name": class_name, "id": object_id, "method": method},
            "listOfArgs": [
                [_IDENTIFIER, one.id] if isinstance(one, ObjectIdentifier) else one
                for one in arguments
            ],
        }
        return json.dumps(call).encode()


def _read(arguments: Any) -> Tuple[Any, ...]:
    if not isinstance(arguments, list):
        raise TypeError("listOfArgs must be an array")
    return tuple(
        ObjectIdentifier(one[1])
        if isinstance(one, list) and len(one) == 2 and one[0] == _IDENTIFIER
        else one
        for one in arguments
    )


def _checked_name(name: Any, what: str) -> None:
    if not isinstance(name, str):
        raise TypeError(f"{what} must be a str, not {type(name).__name__}")
    if not name:
        raise InvalidArgumentError(f"{what} must not be empty")
