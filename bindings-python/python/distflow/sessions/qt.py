"""The originals' session managers as objects of Qt, with their signals, and their widget.

Needs PySide6, PyQt6 or PyQt5: the one that the program has imported, else the first that is there;
``pip install "distflow[qt]"`` brings one. Signals are emitted on the thread that the object lives
in, by its event loop: so no other thread meets a receiver that is being deleted.
"""

from __future__ import annotations

import functools
import importlib
import sys
from typing import Any, Optional

from .discovery import SeedSync
from .handlers import SGMQTTHandlerManager
from .manager import SGDistributedSessionManager as _Manager
from .mqtt_manager import SGMQTTManager as _MqttManager

_BINDINGS = ("PySide6", "PyQt6", "PyQt5")


def _binding() -> str:
    # Two of them in one program do not know each other's objects.
    for name in _BINDINGS:
        if f"{name}.QtCore" in sys.modules:
            return name
    for name in _BINDINGS:
        try:
            importlib.import_module(f"{name}.QtCore")
        except ImportError:
            continue
        return name
    raise ImportError(
        'distflow.sessions.qt needs PySide6, PyQt6 or PyQt5: pip install "distflow[qt]"'
    )


_NAME = _binding()
_core: Any = importlib.import_module(f"{_NAME}.QtCore")
QCoreApplication, Qt = _core.QCoreApplication, _core.Qt
Signal = _core.Signal if _NAME == "PySide6" else _core.pyqtSignal


class SGDistributedSessionManager(_core.QObject):
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


class SGSeedSyncManager(_core.QObject, SeedSync):
    """Like :class:`distflow.sessions.SGSeedSyncManager`, with signals of Qt."""

    seed_synced_signal = Signal(int)
    """The seed that was agreed on."""
    instance_connected_signal = Signal(str)
    """The id of an instance that was seen first."""
    sync_failed_signal = Signal(str)
    """Why no seed was agreed on."""

    _told = Signal(object)

    def __init__(
        self,
        mqtt_client: Any,
        session_manager: Any = None,
        mqtt_handler_manager: Optional[SGMQTTHandlerManager] = None,
        model: Any = None,
    ) -> None:
        super().__init__()
        self._told.connect(self._tell, Qt.ConnectionType.QueuedConnection)
        self._begin(mqtt_client, session_manager, mqtt_handler_manager, model)

    def _emit(self, signal: str, value: object) -> None:
        if _core.QThread.currentThread() == self.thread():
            getattr(self, signal).emit(value)
        elif QCoreApplication.instance() is not None:
            self._told.emit((signal, value))

    def _tell(self, told: Any) -> None:
        signal, value = told
        getattr(self, signal).emit(value)


class SGMQTTManager(_MqttManager):
    """Like :class:`distflow.sessions.SGMQTTManager`, with a timer of Qt that does what others have
    done on the thread of ``model``, 10 times a second."""

    def _start_timer(self) -> None:
        if self.majTimer is None:
            self.majTimer = _core.QTimer(self.model)
            self.majTimer.timeout.connect(self.onMAJTimer)
        self.majTimer.start(100)

    def disconnect(self) -> None:
        """Disconnects from the broker, and does no more."""
        if self.majTimer is not None:
            self.majTimer.stop()
        super().disconnect()


def __getattr__(name: str) -> Any:
    # It needs windows, which a program without a screen has no library for.
    if name == "SGConnectionStatusWidget":
        from .qt_widget import SGConnectionStatusWidget  # noqa: PLC0415

        return SGConnectionStatusWidget
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
