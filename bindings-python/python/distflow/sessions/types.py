"""What sessions give and take."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Dict, List, Mapping, Optional, Tuple, TypedDict

from .. import _distflow
from ..errors import InvalidArgumentError


class BrokerKeywords(TypedDict, total=False):
    """How a broker is reached, by keyword. All have defaults."""

    mqtt_version: str
    """``"auto"``, the default: 5, or 3.1.1 where the broker does not speak it; or ``"3.1.1"``,
    ``"5"``."""
    username: str
    """User name; also in the URL."""
    password: str
    """Password; also in the URL."""
    ca_file: str
    """File with the certificates to trust (PEM); by default those of the system."""
    cert_file: str
    """File with a certificate for this client (PEM), with ``key_file``."""
    key_file: str
    """File with that certificate's key (PEM)."""
    keep_alive_s: int
    """Seconds of silence after which a sign of life is sent. Default 10, at least 2."""
    connect_timeout_ms: int
    """Milliseconds within which the broker has to be reached. Default 10,000."""


class CreateKeywords(TypedDict, total=False):
    """What a session is created with, by keyword. All have defaults."""

    model_name: str
    """The name of the model, for the list. Default ``"Unknown"``."""
    players_min: int
    """Members without which the game can't start, the creator included. Default 1."""
    players_max: int
    """Members for whom there is room, at most 1,024. Default 4."""
    seed: Optional[int]
    """The seed of the session's random numbers, 1 to 1,000,000; by default one is drawn."""
    hand_over: bool
    """Whether another member continues the session when the creator is lost or leaves. Off by
    default: original programs take that for the end."""
    auto_start_s: Optional[int]
    """Seconds from the moment the session is full to its start by itself; by default never."""


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def native_options(keywords: Mapping[str, Any], of: Any, **more: Any) -> str:
    """Options for the native module.

    Error: ``TypeError`` for a keyword that does not exist.
    """
    known = of.__annotations__
    for name in keywords:
        if name not in known:
            raise TypeError(f"there is no option {name!r}: there are {', '.join(known)}")
    given = {**more, **keywords}
    try:
        return json.dumps(
            {_camel(name): value for name, value in given.items() if value is not None}
        )
    except TypeError as error:
        raise InvalidArgumentError(f"the options are not right: {error}") from None


EVENTS = (
    "created",
    "joined",
    "member_joined",
    "member_left",
    "state_changed",
    "countdown",
    "countdown_stopped",
    "game_started",
    "creator_changed",
    "seed_changed",
    "reserved",
    "released",
    "registered",
    "all_players_selected",
    "game",
    "not_allowed",
    "ended",
)
"""The types of events."""


def checked_event(name: str) -> None:
    """Error: ``InvalidArgumentError`` for a type of events that does not exist."""
    if name not in EVENTS:
        raise InvalidArgumentError(f"there is no event {name!r}: there are {', '.join(EVENTS)}")


def checked_countdown(seconds: Any) -> None:
    """Errors: ``TypeError``, ``InvalidArgumentError`` for what is no countdown."""
    if not isinstance(seconds, int) or isinstance(seconds, bool):
        raise TypeError(f"countdown_s must be an int, not {type(seconds).__name__}")
    if not 0 <= seconds <= _COUNTDOWN_S_MAX:
        raise InvalidArgumentError(f"countdown_s must be 0 to {_COUNTDOWN_S_MAX}, not {seconds}")


_COUNTDOWN_S_MAX = 86_400


def checked_text(value: Any, what: str) -> str:
    """Error: ``TypeError`` for what is no ``str``."""
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, not {type(value).__name__}")
    return value


@dataclasses.dataclass(frozen=True)
class SessionEvent:
    """Something that happened in a session. What does not belong to its type is ``None``."""

    type: str
    """``created``, ``joined``, ``member_joined``, ``member_left``, ``state_changed``,
    ``countdown``, ``countdown_stopped``, ``game_started``, ``creator_changed``,
    ``seed_changed``, ``reserved``, ``released``, ``registered``, ``all_players_selected``,
    ``game``, ``not_allowed`` or ``ended``, the last."""
    instance: Optional[str] = None
    """The instance that joined or left, or that has a player."""
    player: Optional[str] = None
    """The player's name."""
    state: Optional[str] = None
    """``open``, ``starting``, ``in_progress`` or ``closed``."""
    seconds: Optional[int] = None
    """Seconds until the start."""
    by: Optional[str] = None
    """Who started the game."""
    kind: Optional[str] = None
    """How the start came about: ``manual`` or ``auto``."""
    creator: Optional[str] = None
    """Who continues the session."""
    term: Optional[int] = None
    """How many creators there were before."""
    seed: Optional[int] = None
    """The seed, 1 to 1,000,000."""
    name: Optional[str] = None
    """Of a message of the game: what is behind ``game_`` in its topic."""
    payload: Optional[bytes] = None
    """Of a message of the game: what it says."""
    reason: Optional[str] = None
    """Why it is over: ``closed``, ``creator_lost``, ``left`` or ``removed``."""
    text: Optional[str] = None
    """The same for people; of ``not_allowed``, what the broker says."""
    action: Optional[str] = None
    """What the broker does not let this instance do: ``publish`` or ``subscribe``."""
    topic: Optional[str] = None
    """The topic, or the filter, of that."""


def event(row: Dict[str, Any], payload: Optional[bytes]) -> SessionEvent:
    """An event from the native module's row."""
    if payload is not None:
        row = {**row, "payload": payload}
        row.pop("payload_base64", None)
    return SessionEvent(**row)


@dataclasses.dataclass(frozen=True)
class SessionView:
    """A session as it is known here."""

    role: str
    """``creator``, ``member`` or ``observer``."""
    state: Optional[str]
    """``open``, ``starting``, ``in_progress`` or ``closed``; ``None`` until it is known."""
    members: Tuple[str, ...]
    """The creator first, then in the order in which they joined."""
    creator: Optional[str]
    """The creator's id."""
    model_name: Optional[str]
    """The model's name."""
    version: Optional[int]
    """Grows with every change."""
    players_min: Optional[int]
    """Members without which the game can't start."""
    players_max: Optional[int]
    """Members for whom there is room."""
    term: Optional[int]
    """How many creators there were before this one."""
    hand_over: Optional[bool]
    """Whether another member continues it when its creator is lost."""
    is_in: bool
    """Whether this instance is in it."""
    ending: Optional[str]
    """Why it is over for this instance: ``closed``, ``creator_lost``, ``left`` or ``removed``."""
    seed: Optional[int]
    """The seed, 1 to 1,000,000."""
    reserved: Mapping[str, str]
    """Players that are reserved, with the instances that have them."""
    registered: Mapping[str, str]
    """Players that are played, with the instances that play them."""
    all_players_selected: bool
    """Whether as many are registered as are needed."""
    is_connected: bool
    """Whether there is a connection to the broker; without, all this may be old."""
    ignored: int
    """Messages that could not be understood."""


def view(row: Dict[str, Any]) -> SessionView:
    """A view from the native module's row."""
    return SessionView(**{**row, "members": tuple(row["members"])})


@dataclasses.dataclass(frozen=True)
class Listing:
    """A session of the list."""

    session_id: str
    """The session's id."""
    model_name: str
    """The model's name."""
    state: str
    """``open``, ``starting``, ``in_progress`` or ``closed``."""
    members: Tuple[str, ...]
    """Who is in it; empty until its document has come."""
    players_min: int
    """Members without which the game can't start."""
    players_max: int
    """Members for whom there is room."""
    creator: str
    """The creator's id."""
    players: Tuple[str, ...]
    """Players that were seen to be registered."""
    is_joinable: bool
    """Whether somebody can join."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the list, with the texts and hints of the original programs."""

    session_id: str
    """The session's id."""
    text: str
    """What the row says, check mark included."""
    tooltip: str
    """What it says when it is pointed at, in lines."""
    is_checked: bool
    """Whether this instance is in it."""
    is_full: bool
    """Whether there is no room."""
    background: Optional[str]
    """Colour as ``#rrggbb``, where it differs from the usual."""
    foreground: Optional[str]
    """Colour of the text, likewise."""
    is_italic: bool
    """Whether the text is slanted."""


def listings(rows: List[Dict[str, Any]]) -> List[Listing]:
    """Sessions from the native module's rows."""
    return [
        Listing(**{**row, "members": tuple(row["members"]), "players": tuple(row["players"])})
        for row in rows
    ]


def count_text(count: int, players_min: int, players_max: int) -> str:
    """The counter beside the list: ``Instances: 2/4 connected ✓ (min)`` and the like."""
    return _distflow.session_count_text(count, players_min, players_max)
