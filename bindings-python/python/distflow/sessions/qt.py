"""The originals' session manager as an object of Qt, with their signals.

Needs PySide6 or PyQt6: ``pip install "distflow[qt]"``. Signals are emitted on the thread that
the object lives in, by its event loop: so no other thread meets a receiver that is being deleted.
"""

from __future__ import annotations

import functools
from typing import Any

from .manager import SGDistributedSessionManager as _Manager

try:
    from PySide6.QtCore import QCoreApplication, QObject, Qt, Signal
except ImportError:
    try:
        from PyQt6.QtCore import QCoreApplication, QObject, Qt
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

    # The name of a signal, and what it is to say: brought to this object's thread.
    _told = Signal(object)

    SESSION_TOPICS = _Manager.SESSION_TOPICS
    DISCOVERY_TOPIC = _Manager.DISCOVERY_TOPIC
    getSessionTopics = staticmethod(_Manager.getSessionTopics)
    isSessionTopic = staticmethod(_Manager.isSessionTopic)

    def __init__(self, model: Any, mqtt_manager: Any, parent: Any = None) -> None:
        super().__init__(parent)
        self._manager = _Manager(model, mqtt_manager)
        self._told.connect(self._tell, Qt.ConnectionType.QueuedConnection)
        for name in ("playerConnected", "playerDisconnected", "seedReceived"):
            getattr(self._manager, name).connect(functools.partial(self._post, name))

    def _post(self, name: str, value: Any) -> None:
        # Without an application nobody would bring it to the thread.
        if QCoreApplication.instance() is not None:
            self._told.emit((name, value))

    def _tell(self, told: Any) -> None:
        name, value = told
        getattr(self, name).emit(value)

    def discoverSessions(self, callback: Any = None) -> None:
        """Keeps ``discovered_sessions`` up to date; also emits ``sessionsDiscovered``. The callback
        is called on a thread of the manager's own."""

        def discovered(sessions: Any) -> None:
            self._post("sessionsDiscovered", sessions)
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
