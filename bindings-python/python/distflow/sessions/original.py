"""The original programs' session classes, without Qt."""

from __future__ import annotations

import enum
import random
import uuid
from datetime import datetime, timedelta
from typing import Any, Callable, Dict, Iterable, Iterator, List, MutableSet, Optional, Tuple, Union

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
        """Adds an instance; false when the session is not open, or full, or has it already."""
        if not self.can_accept_more_instances() or client_id in self.connected_instances:
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
        """The game runs."""
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


class SGConnectionStateManager:
    """The state of that dialog. ``on_state_changed`` is called with the old and the new one."""

    def __init__(
        self,
        on_state_changed: Optional[Callable[[ConnectionState, ConnectionState], object]] = None,
    ) -> None:
        self.current_state = ConnectionState.SETUP
        self.on_state_changed = on_state_changed

    def transition_to(self, state: Union[ConnectionState, str]) -> bool:
        """Goes to a state; false when it is there already."""
        state = ConnectionState(state)
        before = self.current_state
        if state is before:
            return False
        self.current_state = state
        if self.on_state_changed is not None:
            self.on_state_changed(before, state)
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


class SGDistributedGameConfig:
    """What a distributed game is configured with."""

    def __init__(self) -> None:
        self.num_players: Union[int, Tuple[int, int]] = (1, 4)
        self.num_players_min = 1
        self.num_players_max = 4
        self.session_id: Optional[str] = None
        self.shared_seed: Optional[int] = None
        self.broker_host = "localhost"
        self.broker_port = 1883
        self.seed_sync_timeout = 1.0

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
        self.num_players = minimum if minimum == maximum else (minimum, maximum)
        self.num_players_min, self.num_players_max = minimum, maximum

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
        if not 1 <= self.num_players_min <= self.num_players_max:
            return False, "num_players must be 1 <= min <= max"
        if not self.session_id:
            return False, "session_id is missing"
        if not self.broker_host:
            return False, "broker_host is missing"
        if not 1 <= self.broker_port <= 65535:
            return False, f"broker_port must be 1 to 65535, not {self.broker_port}"
        seed = self.shared_seed
        if seed is not None and not 1 <= seed <= 1_000_000:
            return False, f"shared_seed must be 1 to 1000000, not {seed}"
        return True, None
