"""Options as the native module takes them. Imports little: every start of a node needs it."""

from __future__ import annotations

import sys

from . import _distflow
from .errors import InvalidArgumentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Optional

# For each option its name in the native module, and what it must be.
NODE = {
    "alias": ("alias", "str or None"),
    "node_id": ("nodeId", "str or None"),
    "pmd_host": ("pmdHost", "str"),
    "pmd_port": ("pmdPort", "port"),
    "auto_start": ("autoStart", "bool"),
    "embed_pmd": ("embedPmd", "bool"),
    "pmd_auto_shutdown": ("pmdAutoShutdownMs", "seconds"),
    "mailbox_size": ("maxSize", "int"),
    "mailbox_bytes": ("maxBytes", "int"),
    "overflow": ("overflow", "overflow"),
    "meta": ("meta", "mapping or None"),
    "use_heartbeat": ("useHeartbeat", "bool"),
    "heartbeat_interval": ("heartbeatIntervalMs", "seconds"),
    "listen_host": ("listenHost", "str"),
    "listen_port": ("listenPort", "port"),
    "insecure": ("insecure", "bool"),
    "advertised_host": ("advertisedHost", "str or None"),
    "start_timeout": ("startTimeoutMs", "seconds"),
    "request_timeout": ("requestTimeoutMs", "seconds"),
    "max_frame_bytes": ("maxFrameBytes", "int"),
    "max_queue_bytes": ("maxQueueBytes", "int"),
}
# Of nodes of asyncio; the native module does not know it.
CONCURRENCY = "concurrency"
PMD = {
    "port": ("port", "port"),
    "host": ("host", "str"),
    "insecure": ("insecure", "bool"),
    "auto_shutdown": ("autoShutdownMs", "seconds"),
}
_PORT_MAX = 65_535
_MAX = 2**53


def checked(name: str, kind: str, value: Any) -> Any:
    """A value as it is given to the native module.

    Errors: ``TypeError``, ``InvalidArgumentError``.
    """
    given = type(value).__name__
    if kind == "bool":
        if not isinstance(value, bool):
            raise TypeError(f"{name} must be a bool, not {given}")
        return value
    if kind in ("int", "port", "seconds"):
        accepted = (int, float) if kind == "seconds" else int
        if isinstance(value, bool) or not isinstance(value, accepted):
            wanted = "a number of seconds" if kind == "seconds" else "an int"
            raise TypeError(f"{name} must be {wanted}, not {given}")
        least = 1 if name == "pmd_port" else 0
        most = _PORT_MAX if kind == "port" else _MAX
        if not least <= value <= most:
            raise InvalidArgumentError(f"{name} must be {least} to {most}, not {value}")
        return min(round(value * 1_000), _MAX) if kind == "seconds" else int(value)
    if value is None and kind.endswith("None"):
        return None
    if kind.startswith("mapping"):
        from collections.abc import Mapping

        if not isinstance(value, Mapping):
            raise TypeError(f"{name} must be a mapping or None, not {given}")
        try:
            return dict(value)
        except Exception as error:
            raise InvalidArgumentError(f"{name} can't be read: {error!r}") from error
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {given}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentError(f"{name} has a surrogate that stands alone") from None
    return value


def unknown(name: str, table: Mapping[str, object]) -> str:
    """What to say of an option that does not exist."""
    import difflib

    near = difflib.get_close_matches(name, table, 1)
    hint = f"did you mean {near[0]!r}?" if near else "there are " + ", ".join(table)
    return f"there is no option {name!r}: {hint}"


def native(
    kind: str,
    table: Mapping[str, tuple[str, str]],
    given: Optional[object],
    named: Mapping[str, Any],
    **more: object,
) -> str:
    """Options, given as an object of the class called ``kind`` or by name but not both, as the
    native module takes them.

    Errors: ``TypeError``, ``InvalidArgumentError``.
    """
    if given is not None:
        if named:
            raise TypeError(f"give options either as a {kind} or by keyword")
        if not isinstance(given, getattr(sys.modules[__package__], kind)):
            raise TypeError(f"options must be a {kind}, not {type(given).__name__}")
        named = {name: getattr(given, name) for name in table}
    values = dict(more)
    for name, value in named.items():
        if name not in table:
            raise TypeError(unknown(name, table))
        native_name, wanted = table[name]
        passed = checked(name, wanted, value)
        if passed is not None:
            values[native_name] = passed
    return json(values)


def json(values: Mapping[str, object]) -> str:
    """JSON text of checked options, of which only ``meta`` can fail to have one."""
    try:
        return _distflow.dumps(values)
    except (TypeError, ValueError) as error:
        text = str(error).replace("payload['meta']", "meta")
        raise InvalidArgumentError(f"meta can't be written as JSON: {text}") from error


def python_names(text: str) -> str:
    """An error's text that begins with an option's native name, with its name and unit here."""
    first, space, rest = text.partition(" ")
    for name, (native_name, kind) in NODE.items():
        if native_name == first:
            if kind == "seconds":
                import re

                rest = re.sub(r"\d+", lambda ms: f"{int(ms[0]) / 1_000:g}", rest)
            return f"{name}{space}{rest}"
    return text
