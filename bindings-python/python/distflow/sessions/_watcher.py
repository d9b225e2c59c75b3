"""What a session manager sees of sessions in which it is not, or not yet."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

from .original import SGDistributedSession

if TYPE_CHECKING:
    from .manager import SGDistributedSessionManager

_LOG = logging.getLogger("distflow")

SEED_MAX = 1_000_000


def _is_same(known: Dict[str, Any], data: Dict[str, Any]) -> bool:
    """Whether a document is of the session that is known, rather than of a later one of this id."""
    return all(known.get(name) == data.get(name) for name in ("creator_client_id", "created_at"))


class Watcher:
    """What a manager wants to see of sessions in which it is not, or not yet."""

    def __init__(self, manager: SGDistributedSessionManager) -> None:
        self._manager = manager
        self._filters: List[str] = []
        self._todo: List[Tuple[Any, str, Optional[bytes], bool]] = []
        self._news: List[str] = []

    def watch(self, filters: Tuple[str, ...]) -> None:
        for one in filters:
            if one not in self._filters:
                self._filters.append(one)
                self._todo.append(("subscribe", one, None, False))

    def connected(self) -> None:
        self._todo = [("subscribe", one, None, False) for one in self._filters]

    def disconnected(self) -> None:
        self._todo = []

    def tick(self) -> None:
        pass

    def wait_s(self) -> Optional[float]:
        return 0.0 if self._todo else None

    def actions(self) -> List[Tuple[Any, str, Optional[bytes], bool]]:
        todo, self._todo = self._todo, []
        return todo

    def message(self, topic: str, payload: bytes, _retained: bool) -> None:
        first, _, rest = topic.partition("/")
        level = rest if first == "session_state" else first
        session_id = self._manager._ids.get(level, level)
        is_state = first == "session_state" or rest == "session_state"
        if not payload or not (is_state or rest == "session_seed_sync"):
            return
        try:
            data = json.loads(payload)
            if is_state:
                SGDistributedSession.from_dict(data)
                # Ours write the id there as it is in topics.
                data["session_id"] = session_id
                self._manager._spelled[session_id] = level
                known = self._manager._documents.get(session_id, {})
                if known == data or (known.get("state") == "closed" and _is_same(known, data)):
                    return
                self._manager._documents[session_id] = data
                self._news.append(session_id)
            else:
                seed = data["seed"]
                if isinstance(seed, int) and 1 <= seed <= SEED_MAX:
                    self._manager._seeds[session_id] = (str(data["clientId"]), seed)
        except (ValueError, KeyError, TypeError):
            _LOG.debug("not understood: %s", topic)

    def after(self) -> None:
        news, self._news = self._news, []
        for session_id in dict.fromkeys(news):
            data = self._manager._documents.get(session_id)
            for callback in self._manager._watches.get(session_id, ()):
                if data:
                    try:
                        callback(SGDistributedSession.from_dict(data))
                    except Exception:
                        _LOG.exception("a callback of session %s failed", session_id)
