"""The original programs' session classes, without Qt."""

from __future__ import annotations

import enum
import logging
import random
import uuid
from datetime import datetime, timedelta
from typing import Any, Callable, Dict, Iterable, Iterator, List, MutableSet, Optional, Tuple, Union

_LOG = logging.getLogger("distflow")

# How a document's state is called here; the plans had other words (mqtt-session.md 3).
_STATES = {
    "open": "open",
    "starting": "started",
    "in_progress": "started",
    "started": "started",
    "closed": "closed",
}


def _read_date(text: Any) -> Optional[datetime]:
    """A date with or without zone and fraction, in local time without a zone; ``None`` for none."""
    if not isinstance(text, str):
        return None
    text = text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text
    head, dot, rest = text.partition(".")
    if dot:
        digits = len(rest) - len(rest.lstrip("0123456789"))
        text = f"{head}.{rest[:digits][:6].ljust(6, '0')}{rest[digits:]}"
    try:
        date = datetime.fromisoformat(text)
        return date.astimezone().replace(tzinfo=None) if date.tzinfo else date
    except (ValueError, OverflowError, OSError):
        return None


class _Instances(MutableSet[str]):
    """A set that keeps its order: the creator first, then in the order in which they joined."""

    def __init__(self, instances: Iterable[str] = ()) -> None:
        self._instances: Dict[str, None] = dict.fromkeys(instances)

    def __contains__(self, instance: object) -> bool:
        return instance in self._instances

    def __iter__(self) -> Iterator[str]:
        return iter(self._instances)

    def __len__(self) -> int:
        return len(self._instances)

    def add(self, value: str) -> None:
        self._instances[value] = None

    def discard(self, value: str) -> None:
        self._instances.pop(value, None)

    def copy(self) -> _Instances:
        """One that changes by itself."""
        return _Instances(self._instances)

    def update(self, *others: Iterable[str]) -> None:
        """Adds what others have."""
        for other in others:
            self._instances.update(dict.fromkeys(other))

    def union(self, *others: Iterable[str]) -> _Instances:
        """What it or others have."""
        made = self.copy()
        made.update(*others)
        return made

    def intersection(self, *others: Iterable[str]) -> _Instances:
        """What it and all others have."""
        common = set(self._instances).intersection(*others)
        return _Instances(one for one in self if one in common)

    def difference(self, *others: Iterable[str]) -> _Instances:
        """What it has and no other."""
        left = set(self._instances).difference(*others)
        return _Instances(one for one in self if one in left)

    def symmetric_difference(self, other: Iterable[str]) -> _Instances:
        """What only one of the two has."""
        others = dict.fromkeys(other)
        return _Instances([*self.difference(others), *(one for one in others if one not in self)])

    def intersection_update(self, *others: Iterable[str]) -> None:
        """Keeps what all others have, too."""
        self._instances = self.intersection(*others)._instances

    def difference_update(self, *others: Iterable[str]) -> None:
        """Takes away what others have."""
        self._instances = self.difference(*others)._instances

    def symmetric_difference_update(self, other: Iterable[str]) -> None:
        """Keeps what only one of the two has."""
        self._instances = self.symmetric_difference(other)._instances

    def issubset(self, other: Iterable[str]) -> bool:
        """Whether the other has all that it has."""
        return set(self._instances).issubset(other)

    def issuperset(self, other: Iterable[str]) -> bool:
        """Whether it has all that the other has."""
        return set(self._instances).issuperset(other)

    def __repr__(self) -> str:
        return repr(set(self._instances))


class _FromDict:
    """``from_dict`` of the class makes a session; that of a session changes it."""

    def __get__(
        self, session: Optional[SGDistributedSession], cls: type[SGDistributedSession]
    ) -> Callable[[Dict[str, Any]], SGDistributedSession]:
        def from_dict(data: Dict[str, Any]) -> SGDistributedSession:
            made = session if session is not None else cls.__new__(cls)
            made._read(data)
            return made

        return from_dict


class SGDistributedSession:
    """A session's document, as the original programs hold it.

    Reading and writing it, and changing it here, sends nothing:
    :class:`distflow.sessions.SessionManager` does that.
    """

    from_dict = _FromDict()

    def __init__(
        self,
        session_id: str,
        creator_client_id: str,
        model_name: str = "Unknown",
        num_players_min: int = 1,
        num_players_max: int = 4,
    ) -> None:
        now = datetime.now()
        self.session_id = session_id
        self.creator_client_id = creator_client_id
        self.model_name = model_name
        self.state = "open"
        self.connected_instances: MutableSet[str] = _Instances([creator_client_id])
        self.version = 1
        self.last_heartbeat = now
        self.created_at = now
        self.last_updated = now
        self.num_players_min = num_players_min
        self.num_players_max = num_players_max

    def _read(self, data: Dict[str, Any]) -> None:
        now = datetime.now()
        creator = data["creator_client_id"]
        instances = list(dict.fromkeys(data.get("connected_instances") or ()))
        if creator in instances:
            instances.remove(creator)
            instances.insert(0, creator)
        self.session_id = data["session_id"]
        self.creator_client_id = creator
        self.model_name = data.get("model_name", "Unknown")
        self.state = _STATES.get(data.get("state", "open"), data.get("state", "open"))
        self.connected_instances = _Instances(instances)
        self.version = data.get("version", 1)
        self.last_heartbeat = _read_date(data.get("last_heartbeat")) or now
        self.created_at = _read_date(data.get("created_at")) or now
        self.last_updated = _read_date(data.get("last_updated")) or now
        self.num_players_min = data.get("num_players_min", 1)
        self.num_players_max = data.get("num_players_max", 4)

    def to_dict(self) -> Dict[str, Any]:
        """The document, ready for JSON."""
        return {
            "session_id": self.session_id,
            "creator_client_id": self.creator_client_id,
            "model_name": self.model_name,
            "state": self.state,
            "connected_instances": list(self.connected_instances),
            "version": self.version,
            "last_heartbeat": self.last_heartbeat.isoformat(),
            "created_at": self.created_at.isoformat(),
            "last_updated": self.last_updated.isoformat(),
            "num_players_min": self.num_players_min,
            "num_players_max": self.num_players_max,
        }

    def increment_version(self) -> None:
        """Counts a change."""
        self.version += 1
        self.last_updated = datetime.now()

    def add_instance(self, client_id: str) -> bool:
        """Adds an instance; false when the session is not open or has it already. Above the maximum
        it is added all the same, as by the originals; whether it gets in is the creator's word."""
        if not self.is_open() or client_id in self.connected_instances:
            return False
        self.connected_instances.add(client_id)
        self.increment_version()
        return True

    def remove_instance(self, client_id: str) -> bool:
        """Takes an instance away; false when it was not there."""
        if client_id not in self.connected_instances:
            return False
        self.connected_instances.discard(client_id)
        self.increment_version()
        return True

    def update_heartbeat(self) -> None:
        """The creator is there."""
        self.last_heartbeat = self.last_updated = datetime.now()

    def is_expired(self, timeout_seconds: float = 15.0) -> bool:
        """Whether it is closed, or the creator's heartbeat older than so long **by this host's
        clock**: good only where both clocks show the same."""
        age = datetime.now() - self.last_heartbeat
        return self.is_closed() or age > timedelta(seconds=timeout_seconds)

    def can_accept_more_instances(self) -> bool:
        """Whether it is open and has room."""
        return self.is_open() and self.get_num_connected() < self.num_players_max

    def start(self) -> None:
        """The game runs, unless the session is closed. The version counts each time."""
        if not self.is_closed():
            self.state = "started"
        self.increment_version()

    def close(self) -> None:
        """It is over, for good."""
        if not self.is_closed():
            self.state = "closed"
            self.increment_version()

    def get_num_connected(self) -> int:
        """How many instances are in it."""
        return len(self.connected_instances)

    def is_creator(self, client_id: str) -> bool:
        """Whether an instance is the creator."""
        return client_id == self.creator_client_id

    def is_open(self) -> bool:
        """Whether it waits for members."""
        return self.state == "open"

    def is_started(self) -> bool:
        """Whether the game runs."""
        return self.state == "started"

    def is_closed(self) -> bool:
        """Whether it is over."""
        return self.state == "closed"

    def is_joinable(self) -> bool:
        """Whether it is open."""
        return self.is_open()

    def is_active(self) -> bool:
        """Whether it is open, or the game runs."""
        return self.state in ("open", "started")


class ConnectionState(enum.Enum):
    """Where the dialog is that connects a program to a session."""

    SETUP = "setup"
    CONNECTING = "connecting"
    WAITING = "waiting"
    READY_MIN = "ready_min"
    READY_MAX = "ready_max"
    READY = "ready"


StateCallback = Callable[[ConnectionState, ConnectionState], object]


class SGConnectionStateManager:
    """The state of that dialog, and who is told of its changes."""

    def __init__(self, initial_state: ConnectionState = ConnectionState.SETUP) -> None:
        self._state = ConnectionState.SETUP
        self._changed: List[StateCallback] = []
        self._entered: Dict[ConnectionState, List[Callable[[], object]]] = {}
        self._checks: Dict[
            Tuple[ConnectionState, ConnectionState],
            Callable[[ConnectionState, ConnectionState], bool],
        ] = {}
        if callable(initial_state) and not isinstance(initial_state, ConnectionState):
            # What this argument was before.
            self.on_state_changed(initial_state)
        else:
            self._state = ConnectionState(initial_state)

    @property
    def current_state(self) -> ConnectionState:
        """Where it is."""
        return self._state

    def on_state_changed(self, callback: StateCallback) -> None:
        """Calls a function with the old and the new state at each change; the same one once."""
        _add(self._changed, callback)

    def remove_state_changed_callback(self, callback: StateCallback) -> None:
        """Calls it no longer."""
        _remove(self._changed, callback)

    def register_state_handler(self, state: ConnectionState, handler: Callable[[], object]) -> None:
        """Calls a function whenever a state is entered."""
        _add(self._entered.setdefault(ConnectionState(state), []), handler)

    def remove_state_handler(self, state: ConnectionState, handler: Callable[[], object]) -> None:
        """Calls it no longer."""
        _remove(self._entered.get(ConnectionState(state), []), handler)

    def register_transition_validator(
        self,
        from_state: ConnectionState,
        to_state: ConnectionState,
        validator: Callable[[ConnectionState, ConnectionState], bool],
    ) -> None:
        """Asks a function whether it may go from a state to another; the last one counts."""
        if not callable(validator):
            raise TypeError(f"a validator must be callable, not {type(validator).__name__}")
        self._checks[ConnectionState(from_state), ConnectionState(to_state)] = validator

    def can_transition_to(self, new_state: Union[ConnectionState, str]) -> bool:
        """Whether it may go to a state now."""
        state = ConnectionState(new_state)
        check = self._checks.get((self._state, state))
        return state is self._state or check is None or bool(check(self._state, state))

    def transition_to(self, new_state: Union[ConnectionState, str], force: bool = False) -> bool:
        """Goes to a state, with ``force`` also against a validator; false when that forbids it.
        Nobody is told when it is there already."""
        state, before = ConnectionState(new_state), self._state
        if state is before:
            return True
        if not force and not self.can_transition_to(state):
            return False
        self._state = state
        for callback in list(self._changed):
            _call(callback, before, state)
        for handler in list(self._entered.get(state, ())):
            _call(handler)
        return True

    def update_counts(self, connected: int, minimum: int, maximum: int) -> ConnectionState:
        """Goes to where so many members lead; gives that state."""
        if connected >= maximum:
            self.transition_to(ConnectionState.READY_MAX)
        elif connected >= minimum:
            self.transition_to(ConnectionState.READY_MIN)
        else:
            self.transition_to(ConnectionState.WAITING)
        return self.current_state

    def is_ready(self) -> bool:
        """Whether the game can start."""
        ready = (ConnectionState.READY, ConnectionState.READY_MIN, ConnectionState.READY_MAX)
        return self.current_state in ready


UPDATE_TYPES = ("Instantaneous", "Phase")
_PORT_MAX = 65_535


class SGDistributedGameConfig:
    """What a distributed game is configured with."""

    def __init__(self) -> None:
        self.num_players: Union[int, Tuple[int, int], None] = None
        self.num_players_min: Optional[int] = None
        self.num_players_max: Optional[int] = None
        self.assigned_player_name: Optional[str] = None
        self.session_id: Optional[str] = None
        self.shared_seed: Optional[int] = None
        self.broker_host = "localhost"
        self.broker_port = 1883
        self.broker_servers: List[Dict[str, Any]] = []
        self.selected_broker_name = "main"
        self.use_custom_broker = False
        self.custom_broker_host = ""
        self.custom_broker_port: Optional[int] = None
        self.mqtt_update_type = "Instantaneous"
        self.seed_sync_timeout = 1.0
        self.is_session_creator = False
        self.connected_instances_count = 0

    def set_num_players(self, num_players: Union[int, Tuple[int, int], List[int]]) -> None:
        """Exactly so many players, or from so many to so many.

        Error: ``ValueError``.
        """
        if isinstance(num_players, int) and not isinstance(num_players, bool):
            minimum = maximum = num_players
        elif isinstance(num_players, (tuple, list)) and len(num_players) == 2:
            minimum, maximum = num_players
        else:
            raise ValueError(f"num_players must be a number or (min, max), not {num_players!r}")
        if not 1 <= minimum <= maximum:
            raise ValueError(f"num_players must be 1 <= min <= max, not {num_players!r}")
        self.num_players = minimum if isinstance(num_players, int) else (minimum, maximum)
        self.num_players_min, self.num_players_max = minimum, maximum

    def set_broker_servers(self, broker_servers: Optional[List[Dict[str, Any]]]) -> None:
        """The brokers that players choose from: a list of dicts of ``name``, ``host`` and ``port``.

        Error: ``ValueError``, which names the broker.
        """
        if broker_servers is not None and not isinstance(broker_servers, list):
            given = type(broker_servers).__name__
            raise ValueError(f"broker_servers must be a list of dicts, not {given}")
        servers: Dict[str, Dict[str, Any]] = {}
        for at, entry in enumerate(broker_servers or ()):
            if not isinstance(entry, dict):
                raise ValueError(
                    f"broker {at} must be a dict of name, host and port, not {entry!r}"
                )
            name, host, port = (entry.get(key) for key in ("name", "host", "port"))
            if not isinstance(name, str) or not name:
                raise ValueError(f"the name of broker {at} must be a str, not {name!r}")
            if name in servers:
                raise ValueError(f"there are two brokers {name!r}")
            if not isinstance(host, str) or not host:
                raise ValueError(f"the host of broker {name!r} must be a str, not {host!r}")
            if not _is_port(port):
                raise ValueError(f"the port of broker {name!r} must be 1 to 65535, not {port!r}")
            servers[name] = {"name": name, "host": host, "port": port}
        self.broker_servers = list(servers.values())

    def get_broker_by_name(self, name: str) -> Optional[Dict[str, Any]]:
        """The broker of a name, if there is one."""
        return next((entry for entry in self.broker_servers if entry["name"] == name), None)

    def generate_session_id(self) -> str:
        """Makes an id for the session, and keeps it."""
        self.session_id = str(uuid.uuid4())
        return self.session_id

    def generate_shared_seed(self) -> int:
        """Draws a seed from 1 to 1,000,000, and keeps it."""
        # Not from the program's own generator, which is about to be seeded.
        self.shared_seed = random.SystemRandom().randint(1, 1_000_000)
        return self.shared_seed

    def validate(self) -> Tuple[bool, Optional[str]]:
        """Whether it can be used, and if not, why."""
        seed = self.shared_seed
        minimum, maximum = self.num_players_min, self.num_players_max
        if self.num_players is None or minimum is None or maximum is None:
            wrong = "num_players must be set"
        elif not 1 <= minimum <= maximum:
            wrong = "num_players must be 1 <= min <= max"
        elif not self.session_id:
            wrong = "session_id must be set"
        elif not self.assigned_player_name:
            wrong = "assigned_player_name must be set"
        elif not self.broker_host:
            wrong = "broker_host must be set"
        elif not _is_port(self.broker_port):
            wrong = f"broker_port must be 1 to 65535, not {self.broker_port!r}"
        elif self.mqtt_update_type not in UPDATE_TYPES:
            names = " or ".join(UPDATE_TYPES)
            wrong = f"mqtt_update_type must be {names}, not {self.mqtt_update_type!r}"
        elif seed is not None and not 1 <= seed <= 1_000_000:
            wrong = f"shared_seed must be 1 to 1000000, not {seed}"
        else:
            return True, None
        return False, wrong


def _is_port(port: object) -> bool:
    return isinstance(port, int) and not isinstance(port, bool) and 1 <= port <= _PORT_MAX


def _add(callbacks: List[Any], callback: Any) -> None:
    if not callable(callback):
        raise TypeError(f"a callback must be callable, not {type(callback).__name__}")
    if callback not in callbacks:
        callbacks.append(callback)


def _remove(callbacks: List[Any], callback: Any) -> None:
    if callback in callbacks:
        callbacks.remove(callback)


def _call(callback: Callable[..., object], *values: object) -> None:
    """Calls one of several: an exception in it is logged, and the others are called."""
    try:
        callback(*values)
    except Exception:
        _LOG.exception("a callback failed")
