"""Parts of the originals' session manager that programs use alone."""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional

from .manager import SGDistributedSessionManager


class SGSessionDiscoveryManager:
    """The list of sessions alone, on the client of ``mqtt_manager``."""

    def __init__(self, mqtt_manager: Any) -> None:
        self._manager = SGDistributedSessionManager(None, mqtt_manager)

    @property
    def discovered_sessions(self) -> Dict[str, Dict[str, Any]]:
        """The sessions that are alive: ``{id: {timestamp, info}}``."""
        return self._manager.discovered_sessions

    def discoverSessions(
        self, callback: Optional[Callable[[Dict[str, Any]], object]] = None
    ) -> None:
        """Keeps it up to date, as
        :meth:`distflow.sessions.manager.SGDistributedSessionManager.discoverSessions` does."""
        self._manager.discoverSessions(callback)

    def stopSessionDiscovery(self) -> None:
        """Keeps it up to date no longer."""
        self._manager.stopSessionDiscovery()


class SGSeedSyncManager:
    """The seed alone, on the client of ``mqtt_manager``."""

    def __init__(self, mqtt_manager: Any) -> None:
        self._manager = SGDistributedSessionManager(None, mqtt_manager)

    @property
    def synced_seed(self) -> Optional[int]:
        """The seed that was agreed on."""
        return self._manager.synced_seed

    @property
    def is_leader(self) -> bool:
        """Whether it was drawn here."""
        return self._manager.is_leader

    def syncSeed(
        self,
        session_id: str,
        shared_seed: Optional[int] = None,
        timeout: float = 2,
        initial_wait: float = 1.0,
        client_id_callback: Optional[Callable[[str], object]] = None,
    ) -> int:
        """The session's seed, as
        :meth:`distflow.sessions.manager.SGDistributedSessionManager.syncSeed` gives it."""
        return self._manager.syncSeed(
            session_id, shared_seed, timeout, initial_wait, client_id_callback
        )
