"""The originals' session manager as an object of Qt, with their signals.

Needs PySide6 or PyQt6: ``pip install "distflow[qt]"``. Signals are emitted on a thread of the
manager's own; Qt brings them to the thread of whoever is connected.
"""

from __future__ import annotations

from typing import Any

from .manager import SGDistributedSessionManager as _Manager

try:
    from PySide6.QtCore import QObject, Signal
except ImportError:
    try:
        from PyQt6.QtCore import QObject
        from PyQt6.QtCore import pyqtSignal as Signal
    except ImportError:
        raise ImportError(
            'distflow.sessions.qt needs PySide6 or PyQt6: pip install "distflow[qt]"'
        ) from None


class SGDistributedSessionManager(QObject):
    """Like :class:`distflow.sessions.SGDistributedSessionManager`, with signals of Qt."""

    playerConnected = Signal(str)
    """A player was registered; its name."""
    playerDisconnected = Signal(str)
    """The instance that played a player is gone; the player's name."""
    seedReceived = Signal(int)
    """The session's seed, 1 to 1,000,000."""
    sessionsDiscovered = Signal(dict)
    """The sessions that are alive: ``{id: {timestamp, info}}``."""

    SESSION_TOPICS = _Manager.SESSION_TOPICS
    DISCOVERY_TOPIC = _Manager.DISCOVERY_TOPIC
    getSessionTopics = staticmethod(_Manager.getSessionTopics)
    isSessionTopic = staticmethod(_Manager.isSessionTopic)

    def __init__(self, model: Any, mqtt_manager: Any, parent: Any = None) -> None:
        super().__init__(parent)
        self._manager = _Manager(model, mqtt_manager)
        self._manager.playerConnected.connect(self.playerConnected.emit)
        self._manager.playerDisconnected.connect(self.playerDisconnected.emit)
        self._manager.seedReceived.connect(self.seedReceived.emit)

    def discoverSessions(self, callback: Any = None) -> None:
        """Keeps ``discovered_sessions`` up to date; also emits ``sessionsDiscovered``."""

        def discovered(sessions: Any) -> None:
            self.sessionsDiscovered.emit(sessions)
            if callback is not None:
                callback(sessions)

        self._manager.discoverSessions(discovered)

    def disconnect(self, *arguments: Any) -> Any:
        """Leaves the session, as the originals' does; with arguments, that of every ``QObject``."""
        if arguments:
            return super().disconnect(*arguments)
        return self._manager.disconnect()

    def __getattr__(self, name: str) -> Any:
        # Everything else is the plain manager's.
        if name == "_manager":
            raise AttributeError(name)
        return getattr(self._manager, name)
