"""Parts of the originals' session manager that programs use alone."""

from __future__ import annotations

import json
import threading
from typing import Any, Callable, Dict, List, Optional, Set

from ._signal import Signal
from .handlers import HandlerPriority, SGMQTTHandlerManager
from .manager import SGDistributedSessionManager
from .original import SGDistributedSession, _add, _call, _remove

# After so long whoever began a discovery is told what is there, even if that is nothing.
_FIRST_LOOK_S = 0.5

Sessions = Dict[str, Dict[str, Any]]


class _Connection:
    """What a manager of sessions needs of a program: a client and an id."""

    def __init__(self, client: Any, client_id: Any) -> None:
        self.client = client
        self.clientId = client_id


def _connection(mqtt_client: Any, session_manager: Any) -> Any:
    """Of the client of a program, or of its MQTT manager, which was the only argument before."""
    if session_manager is None and hasattr(mqtt_client, "clientId"):
        return mqtt_client
    manager = getattr(session_manager, "mqtt_manager", None)
    return _Connection(mqtt_client, getattr(manager, "clientId", ""))


def _is_connected(client: Any) -> bool:
    return client is not None and bool(client.is_connected())


class SGSessionDiscoveryManager:
    """The list of sessions alone, on the client of a program.

    Callbacks run on a thread of this manager's own. What is found is also put into the
    ``discovered_sessions`` of ``session_manager``, as by the original.
    """

    def __init__(
        self,
        mqtt_client: Any,
        session_manager: Any = None,
        mqtt_handler_manager: Optional[SGMQTTHandlerManager] = None,
    ) -> None:
        connection = _connection(mqtt_client, session_manager)
        self.mqtt_client = connection.client
        self.session_manager = session_manager
        self.mqtt_handler_manager = mqtt_handler_manager
        self.available_sessions: Sessions = {}
        """The sessions that are alive: ``{id: {timestamp, info}}``."""
        self.session_players_cache: Dict[str, Set[str]] = {}
        """The players that were seen to be registered, by session."""
        self.session_instances_cache: Dict[str, Set[str]] = {}
        """The instances that are in, by session."""
        self.session_states_cache: Dict[str, SGDistributedSession] = {}
        """The documents, by session."""
        self._manager = SGDistributedSessionManager(None, connection)
        # Protects what follows, of one discovery.
        self._lock = threading.Lock()
        self._own: Optional[str] = None
        self._watched: Set[str] = set()
        self._is_running = False
        self._first_look: Optional[threading.Timer] = None
        self._sessions_updated: List[Callable[[Sessions], object]] = []
        self._state_updated: List[Callable[[str, SGDistributedSession], object]] = []

    # ------------------------------------------------------------------ callbacks

    def on_sessions_updated(self, callback: Callable[[Sessions], object]) -> None:
        """Calls a function with the sessions whenever they change; the same one once."""
        _add(self._sessions_updated, callback)

    def remove_sessions_updated_callback(self, callback: Callable[[Sessions], object]) -> None:
        """Calls it no longer."""
        _remove(self._sessions_updated, callback)

    def on_session_state_updated(
        self, callback: Callable[[str, SGDistributedSession], object]
    ) -> None:
        """Calls a function with a session's id and its document whenever one comes; the same one
        once."""
        _add(self._state_updated, callback)

    def remove_session_state_updated_callback(
        self, callback: Callable[[str, SGDistributedSession], object]
    ) -> None:
        """Calls it no longer."""
        _remove(self._state_updated, callback)

    def _tell(self) -> None:
        for callback in list(self._sessions_updated):
            _call(callback, dict(self.available_sessions))

    # ------------------------------------------------------------------ discovery

    def start_discovery(self, connected_session_id: Optional[str] = None) -> None:
        """Keeps ``available_sessions`` and the caches up to date, without the session that this
        program is in, and tells of it. Without a connection it does nothing."""
        if not _is_connected(self.mqtt_client):
            return
        with self._lock:
            self._own = connected_session_id
            self._is_running = True
            if self._first_look is not None:
                self._first_look.cancel()
            self._first_look = threading.Timer(_FIRST_LOOK_S, self._look_first)
            self._first_look.daemon = True
            self._first_look.start()
        self._manager.discoverSessions(self._discovered)

    def _look_first(self) -> None:
        if self._is_running:
            self._tell()

    def _start_player_registration_tracking(
        self, connected_session_id: Optional[str] = None
    ) -> None:
        """Registrations are followed from the start on; only the own session may be another."""
        with self._lock:
            if connected_session_id is not None:
                self._own = connected_session_id
        if self._is_running:
            self._discovered(self._manager.discovered_sessions)

    def stop_discovery(self) -> None:
        """Keeps it up to date no longer; what is known stays."""
        with self._lock:
            self._is_running = False
            if self._first_look is not None:
                self._first_look.cancel()
                self._first_look = None
        self._manager.stopSessionDiscovery()

    def _discovered(self, sessions: Sessions) -> None:
        with self._lock:
            found = {
                session_id: session
                for session_id, session in sessions.items()
                if session_id != self._own and session["info"]["state"] != "closed"
            }
            self.available_sessions = found
            self.session_instances_cache = {
                session_id: set(session["info"]["connected_instances"])
                for session_id, session in found.items()
            }
            self.session_players_cache = {
                session_id: set(players)
                for session_id, players in self._manager._players.items()
                if session_id in found and players
            }
            new = [session_id for session_id in found if session_id not in self._watched]
            self._watched.update(new)
        if hasattr(self.session_manager, "discovered_sessions"):
            self.session_manager.discovered_sessions = dict(found)
        for session_id in new:
            self._manager.subscribeToSessionState(session_id, self._on_state)
        self._tell()

    def _on_state(self, session: SGDistributedSession) -> None:
        session_id = session.session_id
        with self._lock:
            if not self._is_running or session_id == self._own:
                return
            self.session_states_cache[session_id] = session
        for callback in list(self._state_updated):
            _call(callback, session_id, session)

    # ------------------------------------------------------------------ as it was here before

    @property
    def discovered_sessions(self) -> Sessions:
        """The same as ``available_sessions``, with the session that this program is in."""
        return self._manager.discovered_sessions

    def discoverSessions(self, callback: Optional[Callable[[Sessions], object]] = None) -> None:
        """Like :meth:`start_discovery`, with one callback."""
        if callback is not None:
            self.on_sessions_updated(callback)
        self.start_discovery()

    def stopSessionDiscovery(self) -> None:
        """The same as :meth:`stop_discovery`."""
        self.stop_discovery()


class SeedSync:
    """What the manager of seeds does; it tells by ``seed_synced_signal``,
    ``instance_connected_signal`` and ``sync_failed_signal``, which whoever has them brings."""

    seed_synced_signal: Any
    instance_connected_signal: Any
    sync_failed_signal: Any

    def _begin(
        self,
        mqtt_client: Any,
        session_manager: Any,
        mqtt_handler_manager: Optional[SGMQTTHandlerManager],
        model: Any,
    ) -> None:
        connection = _connection(mqtt_client, session_manager)
        self.mqtt_client = connection.client
        self.session_manager = session_manager or SGDistributedSessionManager(None, connection)
        self.mqtt_handler_manager = mqtt_handler_manager
        self.model = model
        self._seed: Optional[int] = None
        # Protects the instances; who is told of them is told under no lock.
        self._lock = threading.Lock()
        self._instances: Set[str] = set()
        self._handler: Optional[int] = None
        self._synced: List[Callable[[int], object]] = []
        self._connected: List[Callable[[str], object]] = []
        self._failed: List[Callable[[str], object]] = []

    # ------------------------------------------------------------------ state

    @property
    def seed_synced(self) -> bool:
        """Whether a seed was agreed on."""
        return self._seed is not None

    @property
    def synced_seed_value(self) -> Optional[int]:
        """The seed that was agreed on."""
        return self._seed

    @property
    def synced_seed(self) -> Optional[int]:
        """The seed that was agreed on."""
        return self._seed

    @property
    def is_leader(self) -> bool:
        """Whether it was drawn here."""
        return bool(self.session_manager.is_leader)

    @property
    def connected_instances(self) -> Set[str]:
        """The instances that were seen to have a seed, as a copy."""
        with self._lock:
            return set(self._instances)

    # ------------------------------------------------------------------ callbacks

    def on_seed_synced(self, callback: Callable[[int], object]) -> None:
        """Calls a function with the seed once it is agreed on; the same one once."""
        _add(self._synced, callback)

    def remove_seed_synced_callback(self, callback: Callable[[int], object]) -> None:
        """Calls it no longer."""
        _remove(self._synced, callback)

    def on_instance_connected(self, callback: Callable[[str], object]) -> None:
        """Calls a function with the id of each instance that is seen first; the same one once."""
        _add(self._connected, callback)

    def remove_instance_connected_callback(self, callback: Callable[[str], object]) -> None:
        """Calls it no longer."""
        _remove(self._connected, callback)

    def on_sync_failed(self, callback: Callable[[str], object]) -> None:
        """Calls a function with the reason when no seed was agreed on; the same one once."""
        _add(self._failed, callback)

    def remove_sync_failed_callback(self, callback: Callable[[str], object]) -> None:
        """Calls it no longer."""
        _remove(self._failed, callback)

    # ------------------------------------------------------------------ seed

    def sync_seed(
        self,
        session_id: str,
        shared_seed: Optional[int] = None,
        timeout: float = 2.0,
        initial_wait: float = 1.0,
        client_id_callback: Optional[Callable[[str], object]] = None,
    ) -> Optional[int]:
        """The session's seed, as
        :meth:`distflow.sessions.manager.SGDistributedSessionManager.syncSeed` gives it; that of
        before, if there is one. ``None`` when that fails, of which callbacks are told why.
        ``client_id_callback`` is called with the id of each instance that is seen.
        """
        if self._seed is not None:
            return self._seed

        def see(client_id: str) -> None:
            if client_id_callback is not None:
                _call(client_id_callback, client_id)
            self._see(client_id)

        if not _is_connected(self.mqtt_client):
            self._fail("MQTT client must be connected before syncing seed")
            return None
        try:
            seed: Optional[int] = self.session_manager.syncSeed(
                session_id,
                shared_seed=shared_seed,
                timeout=timeout,
                initial_wait=initial_wait,
                client_id_callback=see,
            )
        except Exception as error:
            self._fail(f"Seed synchronization failed: {error}")
            return None
        if seed is None:
            self._fail("Seed synchronization returned None")
            return None
        self._seed = seed
        self._emit("seed_synced_signal", seed)
        for callback in list(self._synced):
            _call(callback, seed)
        self._track(session_id)
        return seed

    def syncSeed(
        self,
        session_id: str,
        shared_seed: Optional[int] = None,
        timeout: float = 2,
        initial_wait: float = 1.0,
        client_id_callback: Optional[Callable[[str], object]] = None,
    ) -> int:
        """The session's seed, agreed on anew, as
        :meth:`distflow.sessions.manager.SGDistributedSessionManager.syncSeed` gives it: the name
        that it had here before. Nobody is told of it.

        Error: ``ValueError`` without a connection.
        """
        seed: int = self.session_manager.syncSeed(
            session_id, shared_seed, timeout, initial_wait, client_id_callback
        )
        self._seed = seed
        return seed

    def _emit(self, signal: str, value: object) -> None:
        getattr(self, signal).emit(value)

    def _fail(self, reason: str) -> None:
        self._emit("sync_failed_signal", reason)
        for callback in list(self._failed):
            _call(callback, reason)

    def _see(self, client_id: str) -> None:
        with self._lock:
            is_new = bool(client_id) and client_id not in self._instances
            self._instances.add(client_id)
            self._instances.discard("")
        if is_new:
            self._emit("instance_connected_signal", client_id)
            for callback in list(self._connected):
                _call(callback, client_id)

    def _track(self, session_id: str) -> None:
        if self.mqtt_handler_manager is None:
            self.mqtt_handler_manager = SGMQTTHandlerManager(self.mqtt_client)
        self.mqtt_handler_manager.install()
        self.stop_tracking()
        topic = self.session_manager.getSessionTopics(session_id)[1]
        self._handler = self.mqtt_handler_manager.add_topic_handler(
            topic, self._on_seed, HandlerPriority.HIGH
        )

    def _on_seed(self, _client: Any, _userdata: Any, message: Any) -> None:
        try:
            client_id = json.loads(message.payload)["clientId"]
        except (ValueError, KeyError, TypeError):
            return
        if isinstance(client_id, str):
            self._see(client_id)

    def stop_republishing(self) -> None:
        """Only the creator says the seed, as long as its session is there: there is nothing to
        stop."""

    def stop_tracking(self) -> None:
        """Looks for further instances no longer."""
        handler, self._handler = self._handler, None
        if handler is not None and self.mqtt_handler_manager is not None:
            self.mqtt_handler_manager.remove_handler(handler)

    def reset(self) -> None:
        """Forgets the seed and the instances, so that another can be agreed on."""
        self._seed = None
        with self._lock:
            self._instances.clear()
        self.stop_republishing()
        self.stop_tracking()


class SGSeedSyncManager(SeedSync):
    """The seed alone, on the client of a program.

    Its signals are what ``distflow.sessions.qt.SGSeedSyncManager`` has as signals of Qt; here
    they have ``connect`` and ``emit``, and their callbacks run where a seed is seen.
    """

    def __init__(
        self,
        mqtt_client: Any,
        session_manager: Any = None,
        mqtt_handler_manager: Optional[SGMQTTHandlerManager] = None,
        model: Any = None,
    ) -> None:
        self.seed_synced_signal = Signal()
        self.instance_connected_signal = Signal()
        self.sync_failed_signal = Signal()
        self._begin(mqtt_client, session_manager, mqtt_handler_manager, model)
