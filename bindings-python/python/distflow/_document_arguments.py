"""What is given to documents, as the native module takes it."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Mapping, Union

from . import _distflow, _options

# For each option its name in the native module, and what it must be.
OPTIONS = {
    "max_log_size": ("maxLogSize", "int"),
    "max_pending_size": ("maxPendingSize", "int"),
    "max_lww_size": ("maxLwwSize", "int"),
    "pending_timeout_ms": ("pendingTimeoutMs", "int"),
    "tombstone_grace_period_ms": ("tombstoneGracePeriodMs", "int"),
    "max_drift_ms": ("maxDriftMs", "int"),
    "enable_auto_gc": ("enableAutoGc", "bool"),
    "members": ("members", "names"),
    "directory": ("directory", "str"),
    "salvage": ("salvage", "bool"),
    "source": ("source", "str"),
}


def native_options(named: Mapping[str, Any]) -> str:
    """Options; those that are ``None`` were not given. Errors: ``TypeError``,
    ``InvalidArgumentError``."""
    options: Dict[str, Any] = {}
    for name, given in named.items():
        value = os.fspath(given) if isinstance(given, os.PathLike) else given
        if name not in OPTIONS:
            raise TypeError(_options.unknown(name, OPTIONS))
        native, kind = OPTIONS[name]
        if value is not None:
            is_names = kind == "names"
            options[native] = names(value) if is_names else _options.checked(name, kind, value)
    return _distflow.dumps(options)


def names(members: Any) -> List[str]:
    """Names of replicas. Error: ``TypeError``."""
    if not isinstance(members, (list, tuple, set, frozenset)):
        raise TypeError(f"members must be a list of str, not {type(members).__name__}")
    return [_options.checked("a member", "str", member) for member in members]


def count(name: str, value: Any) -> int:
    """A whole number. Errors: ``TypeError``, ``InvalidArgumentError``."""
    checked: int = _options.checked(name, "int", value)
    return checked


def as_bytes(what: str, data: Union[bytes, bytearray, memoryview]) -> bytes:
    """Error: ``TypeError``."""
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"{what} must be bytes, not {type(data).__name__}")
    return bytes(data)


def json_text(what: str, value: Union[str, Mapping[str, Any]]) -> str:
    """JSON text of a mapping, or what is text already. Errors: ``TypeError``,
    ``InvalidJsonError``."""
    if isinstance(value, str):
        return value
    if not isinstance(value, Mapping):
        raise TypeError(f"{what} must be a str or a mapping, not {type(value).__name__}")
    return _distflow.dumps(dict(value))


def snapshot_bytes(snapshot: Any) -> bytes:
    """A snapshot in bytes, or its JSON text as bytes. Errors: as :func:`json_text`."""
    if isinstance(snapshot, (bytes, bytearray, memoryview)):
        return bytes(snapshot)
    if isinstance(snapshot, (str, Mapping)):
        # A surrogate that stands alone is refused where the text is read.
        return json_text("a snapshot", snapshot).encode("utf-8", "surrogatepass")
    given = type(snapshot).__name__
    raise TypeError(f"a snapshot must be bytes, a str or a mapping, not {given}")


def checked_clock(clock: Mapping[str, int]) -> Dict[str, int]:
    """Error: ``TypeError``."""
    if not isinstance(clock, Mapping):
        raise TypeError(f"a clock must be a mapping, not {type(clock).__name__}")
    return dict(clock)
