"""The original programs' session manager, on the client that they bring."""

from __future__ import annotations

import json
import logging
import random
import re
import time
from datetime import datetime
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

from .. import _distflow
from ..errors import DistflowError
from . import types
from ._signal import Signal
from ._watcher import SEED_MAX, Watcher
from .original import SGDistributedSession
from .wrapped import Wrapped

_LOG = logging.getLogger("distflow")

# In the order of the originals, which programs rely on.
SESSION_TOPICS = [
    "player_registration",
    "seed_sync",
    "player_disconnect",
    "game_start",
    "instance_ready",
    "player_reservation",
    "all_players_selected",
]


class SGDistributedSessionManager:
    """Sessions on the client of ``mqtt_manager``, which has ``client`` (like paho's, connected) and
    ``clientId``.

    The methods are those of the original; what they do is what distflow does: only the creator
    writes the document, and whoever joins or leaves says so on topics of its own.
    ``playerConnected``, ``playerDisconnected`` and ``seedReceived`` have ``connect`` and ``emit``,
    as signals have; their callbacks run on a thread of the manager's own.

    The broker knows of no will for a client that is connected already: a program that dies is
    noticed after 15 s. With :class:`distflow.sessions.SessionManager` it is noticed at once.
    """

    SESSION_TOPICS = SESSION_TOPICS
    DISCOVERY_TOPIC = "session_discovery"

    def __init__(self, model: Any, mqtt_manager: Any) -> None:
        self.model = model
        self.mqtt_manager = mqtt_manager
        self.playerConnected = Signal()
        self.playerDisconnected = Signal()
        self.seedReceived = Signal()
        self.session_id: Optional[str] = None
        self.connected_players: Dict[str, str] = {}
        self.discovered_sessions: Dict[str, Dict[str, Any]] = {}
        self.session_discovery_handler: Optional[Callable[[Dict[str, Any]], object]] = None
        self.seed_received = False
        self.synced_seed: Optional[int] = None
        self.is_leader = False
        self._wrapped: Optional[Wrapped] = None
        self._seat: Optional[_distflow.NativeSeat] = None
        self._lobby: Optional[_distflow.NativeLobby] = None
        self._documents: Dict[str, Dict[str, Any]] = {}
        self._seeds: Dict[str, Tuple[str, int]] = {}
        self._watches: Dict[str, List[Callable[[SGDistributedSession], object]]] = {}
        self._reservations: List[Callable[[str, str, str], object]] = []
        # Levels of topics, with the sessions that they stand for; and by which a session was heard.
        self._ids: Dict[str, str] = {}
        self._spelled: Dict[str, str] = {}
        # The players that were seen to be registered, by session.
        self._players: Dict[str, Set[str]] = {}
        self._discovered: Optional[Callable[[Dict[str, Any]], object]] = None
        self._watcher: Optional[Watcher] = None

    @property
    def synced_seed_value(self) -> Optional[int]:
        """The seed that was agreed on."""
        return self.synced_seed

    # ------------------------------------------------------------------ connection

    def _client(self) -> Any:
        return self.mqtt_manager.client

    def _me(self) -> str:
        return str(self.mqtt_manager.clientId)

    def _check_connected(self, doing: str) -> Wrapped:
        wrapped = self._connected()
        if wrapped is None:
            raise ValueError(f"MQTT client must be connected before {doing}")
        return wrapped

    def _connected(self) -> Optional[Wrapped]:
        client = self._client()
        if client is None or not client.is_connected():
            return None
        if self._wrapped is None or self._wrapped.client is not client:
            self._wrapped = Wrapped(client)
            self._watcher = Watcher(self)
            self._wrapped.add(self._watcher, self._watcher.message, self._watcher.after)
        return self._wrapped

    def _watch(self, *filters: str) -> Optional[Wrapped]:
        wrapped = self._connected()
        if wrapped is None:
            return None
        assert self._watcher is not None
        self._watcher.watch(filters)
        wrapped.wake()
        return wrapped

    # ------------------------------------------------------------------ topics

    @classmethod
    def getSessionTopics(cls, session_id: Optional[str]) -> List[str]:
        """The topics of a session, in the order of the originals; without a session as they are
        below one."""
        prefix = f"{session_id}/" if session_id else ""
        return [f"{prefix}session_{name}" for name in cls.SESSION_TOPICS]

    @classmethod
    def isSessionTopic(cls, topic: str, session_id: Optional[str] = None) -> bool:
        """Whether a topic is one of these, or below one."""
        topics = cls.getSessionTopics(session_id)
        return any(topic == one or topic.startswith(f"{one}/") for one in topics)

    # ------------------------------------------------------------------ document

    def _levels(self, session_id: str) -> List[str]:
        """What may stand for a session in topics: its id as originals write it, and as ours do."""
        as_it_is = [] if re.search("[/+#]", session_id) else [session_id]
        return list(dict.fromkeys([*as_it_is, _level(session_id)]))

    def _watch_session(self, session_id: str, *others: str) -> Optional[Wrapped]:
        """Watches a session's document, and topics of these names below it."""
        filters: List[str] = []
        for level in self._levels(session_id):
            filters += [f"{level}/{name}" for name in (*others, "session_state")]
            filters.append(f"session_state/{level}")
            self._ids[level] = session_id
        return self._watch(*filters)

    def readSessionState(
        self, session_id: str, timeout: float = 2.0
    ) -> Optional[SGDistributedSession]:
        """The session's document; ``None`` if there is none within so many seconds, or no
        connection."""
        wrapped = self._watch_session(session_id)
        if wrapped is None:
            return None
        wrapped.wait_for(lambda: session_id in self._documents, timeout)
        data = self._documents.get(session_id)
        return SGDistributedSession.from_dict(data) if data else None

    def subscribeToSessionState(
        self, session_id: str, callback: Callable[[SGDistributedSession], object]
    ) -> None:
        """Calls a function with each document of a session, and with the one that is known."""
        with_known = self._documents.get(session_id)
        self._watches.setdefault(session_id, []).append(callback)
        self._watch_session(session_id)
        if with_known:
            callback(SGDistributedSession.from_dict(with_known))

    def publishSessionState(self, session: SGDistributedSession) -> None:
        """Makes a session what it is here: its creator creates, starts or closes it by that;
        another instance joins or leaves it, by being in it or not.

        Without a connection it does nothing. Errors: those of :class:`distflow.sessions.Session`.
        """
        wrapped = self._connected()
        if wrapped is None:
            return
        me = self._me()
        if session.creator_client_id != me:
            self._be_member(session.session_id, me in session.connected_instances, wrapped)
            return
        if self._seat is None or self.session_id != session.session_id:
            options = types.native_options(
                {
                    "model_name": session.model_name,
                    "players_min": session.num_players_min,
                    "players_max": session.num_players_max,
                    "seed": self.synced_seed,
                },
                types.CreateKeywords,
            )
            self._sit(
                _distflow.NativeSeat.create(session.session_id, me, options), session.session_id
            )
        seat = self._seat
        assert seat is not None
        state = seat.view()["state"]
        if session.is_closed() and state != "closed":
            wrapped.wait_for(lambda: bool(seat.view()["is_in"]), 5)
            seat.close()
        elif session.is_started() and state in ("open", "starting"):
            wrapped.wait_for(lambda: bool(seat.view()["is_in"]), 5)
            seat.start(0)
        wrapped.wake()

    def _sit(self, seat: _distflow.NativeSeat, session_id: str) -> None:
        wrapped = self._check_connected("using sessions")
        if self._seat is not None:
            self._seat.leave()
            wrapped.wake()
        self._seat, self.session_id = seat, session_id
        wrapped.add(seat, seat.message, lambda: self._after(seat))

    def _be_member(self, session_id: str, wants_in: bool, wrapped: Wrapped) -> None:
        is_seated = self._seat is not None and self.session_id == session_id
        if wants_in and not is_seated:
            as_it_is = self._spelled.get(session_id) == session_id
            seat = _distflow.NativeSeat.join(session_id, self._me(), as_it_is)
            self._sit(seat, session_id)
        elif not wants_in and is_seated:
            assert self._seat is not None
            self._seat.leave()
        wrapped.wake()

    def updateSessionState(
        self,
        session_id: str,
        updater: Callable[[SGDistributedSession], object],
        max_retries: int = 3,
    ) -> bool:
        """Changes the session's document by a function. For the creator all that it may change; for
        another instance, whether it is in the session. Whether that came about."""
        session = self.readSessionState(session_id)
        if session is None:
            return False
        me = self._me()
        before = set(session.connected_instances)
        updater(session)
        changed = before ^ set(session.connected_instances)
        try:
            if session.creator_client_id == me:
                if changed:
                    return False
                self.publishSessionState(session)
                return True
            if changed != {me}:
                return False
            self.publishSessionState(session)
        except DistflowError:
            return False
        wanted = me in session.connected_instances
        wrapped = self._check_connected("using sessions")

        def is_so() -> bool:
            data = self._documents.get(session_id, {})
            return (me in data.get("connected_instances", ())) == wanted

        return wrapped.wait_for(is_so, 2.0 * max_retries)

    # ------------------------------------------------------------------ announcements

    def publishSession(
        self,
        session_id: str,
        num_players_min: int,
        num_players_max: int,
        model_name: Optional[str] = None,
    ) -> None:
        """Announces a session, which is created by that if it was not; renewed by itself."""
        name = model_name or getattr(self.model, "name", None) or "Unknown"
        session = SGDistributedSession(
            session_id, self._me(), str(name), num_players_min, num_players_max
        )
        self.publishSessionState(session)

    def stopSessionHeartbeat(self) -> None:
        """The creator's heartbeat ends with the session; there is nothing else to stop."""

    def stopSeedSyncRepublishing(self) -> None:
        """The seed is said as long as the session is there; there is nothing else to stop."""

    def discoverSessions(
        self, callback: Optional[Callable[[Dict[str, Any]], object]] = None
    ) -> None:
        """Keeps ``discovered_sessions`` up to date, ``{id: {timestamp, info}}``, and calls a
        function with it whenever it changes. Without a connection it does nothing."""
        wrapped = self._connected()
        if wrapped is None:
            return
        self._discovered = callback
        self.session_discovery_handler = self._tell_discovered
        if self._lobby is None:
            lobby = self._lobby = _distflow.NativeLobby()
            wrapped.add(
                lobby,
                lambda topic, payload, _retained: lobby.message(topic, payload),
                lambda: self._after_lobby(lobby),
            )

    def stopSessionDiscovery(self) -> None:
        """Keeps it up to date no longer."""
        if self._lobby is not None and self._wrapped is not None:
            self._wrapped.remove(self._lobby)
        self._lobby = self.session_discovery_handler = None

    def _after_lobby(self, lobby: _distflow.NativeLobby) -> None:
        if not lobby.take_changed():
            return
        listings, _ = lobby.sessions(self.session_id)
        now = time.time()
        known = self.discovered_sessions
        self.discovered_sessions = {
            one["session_id"]: {
                "timestamp": known.get(one["session_id"], {}).get("timestamp", now),
                "info": {
                    "session_id": one["session_id"],
                    "clientId": one["creator"],
                    "num_players_min": one["players_min"],
                    "num_players_max": one["players_max"],
                    "model_name": one["model_name"],
                    "connected_instances": one["members"],
                    "state": one["state"],
                },
            }
            for one in listings
        }
        self._players = {one["session_id"]: set(one["players"]) for one in listings}
        self._tell_discovered(self.discovered_sessions)

    def _tell_discovered(self, sessions: Dict[str, Any]) -> None:
        if self._discovered is not None:
            self._discovered(sessions)

    # ------------------------------------------------------------------ seed

    def syncSeed(
        self,
        session_id: str,
        shared_seed: Optional[int] = None,
        timeout: float = 2,
        initial_wait: float = 1.0,
        client_id_callback: Optional[Callable[[str], object]] = None,
    ) -> int:
        """The session's seed: the creator's if it says one within ``initial_wait`` seconds, or
        within ``timeout`` more where a session is known; else the given one, or a drawn one, which
        counts when this instance creates the session. Python's own generator is seeded with it.

        Error: ``ValueError`` without a connection.
        """
        wrapped = self._check_connected("syncing seed")
        self._watch_session(session_id, "session_seed_sync")

        def is_there() -> bool:
            return session_id in self._seeds and self._seeds[session_id][0] != self._me()

        found = shared_seed is None and (
            wrapped.wait_for(is_there, initial_wait)
            or (session_id in self._documents and wrapped.wait_for(is_there, timeout))
        )
        if client_id_callback is not None:
            client_id_callback(self._me())
        if found:
            self.is_leader = False
            self._use_seed(self._seeds[session_id][1])
        else:
            drawn = random.SystemRandom().randint(1, SEED_MAX)
            self.is_leader = True
            self._use_seed(drawn if shared_seed is None else shared_seed)
        assert self.synced_seed is not None
        return self.synced_seed

    def _use_seed(self, seed: int) -> None:
        is_new = seed != self.synced_seed
        self.synced_seed, self.seed_received = seed, True
        if is_new:
            random.seed(seed)
            self.seedReceived.emit(seed)

    # ------------------------------------------------------------------ players

    def registerPlayer(
        self,
        session_id: str,
        assigned_player_name: str,
        num_players_min: int,
        num_players_max: int,
    ) -> bool:
        """Says that this instance plays a player.

        Errors: ``ValueError`` without a connection; ``RefusedError`` when it is taken.
        """
        wrapped = self._check_connected("registering player")
        if self._seat is not None and self.session_id == session_id:
            seat = self._seat
            wrapped.wait_for(lambda: bool(seat.view()["is_in"]), 5)
            seat.register(assigned_player_name)
            wrapped.wake()
            return True
        payload = {
            "clientId": self._me(),
            "assigned_player_name": assigned_player_name,
            "num_players_min": num_players_min,
            "num_players_max": num_players_max,
            "timestamp": datetime.now().isoformat(),
        }
        level = self._spelled.get(session_id, _level(session_id))
        topic = f"{level}/session_player_registration/{_level(assigned_player_name)}"
        self._client().publish(topic, json.dumps(payload), qos=1)
        return True

    def reservePlayer(self, session_id: str, player_name: str) -> bool:
        """Asks for a player; whose it is, the reservations tell. False when it is taken, and
        without a connection."""
        return self._of_seat(session_id, lambda seat: seat.reserve(player_name))

    def releasePlayer(self, session_id: str, player_name: str) -> bool:
        """Gives a player back."""
        return self._of_seat(session_id, lambda seat: seat.release(player_name))

    def _of_seat(self, session_id: str, call: Callable[[_distflow.NativeSeat], object]) -> bool:
        wrapped, seat = self._connected(), self._seat
        if wrapped is None or seat is None or self.session_id != session_id:
            return False
        wrapped.wait_for(lambda: bool(seat.view()["is_in"]), 5)
        try:
            call(seat)
        except DistflowError as error:
            _LOG.info("%s", error)
            return False
        wrapped.wake()
        return True

    def subscribeToPlayerReservations(
        self, session_id: str, callback: Callable[[str, str, str], object]
    ) -> bool:
        """Calls ``callback(client_id, player_name, action)`` when the creator has decided; the
        action is ``reserve`` or ``release``. False without a connection."""
        if self._connected() is None:
            return False
        self._reservations.append(callback)
        return True

    def getConnectedPlayers(self, session_id: str) -> List[str]:
        """The names of the players that are registered."""
        return list(self.connected_players) if self.session_id == session_id else []

    def isPlayerNameAvailable(self, session_id: str, name: str) -> bool:
        """Whether nobody plays a player or has it reserved."""
        if self._seat is None or self.session_id != session_id:
            return True
        view = self._seat.view()
        return name not in view["registered"] and name not in view["reserved"]

    def waitForPlayers(self, session_id: str, min: int, max: int, timeout: float = 30) -> bool:
        """Waits until as many instances are in the session as the game needs at least. False when
        they are not there in time, and without a connection."""
        wrapped = self._watch_session(session_id)
        if wrapped is None:
            return False
        needed = min if min < max else max

        def are_there() -> bool:
            data = self._documents.get(session_id, {})
            return len(data.get("connected_instances", ())) >= needed

        return wrapped.wait_for(are_there, timeout)

    # ------------------------------------------------------------------ events

    def _after(self, seat: _distflow.NativeSeat) -> None:
        for row, payload in seat.events():
            event = types.event(row, payload)
            if event.type == "registered" and event.player and event.instance:
                self.connected_players[event.player] = event.instance
                self.playerConnected.emit(event.player)
            elif event.type == "member_left" and event.instance:
                for player, instance in list(self.connected_players.items()):
                    if instance == event.instance:
                        del self.connected_players[player]
                        self.playerDisconnected.emit(player)
            elif event.type == "seed_changed" and event.seed:
                self._use_seed(event.seed)
            elif event.type in ("reserved", "released"):
                action = "reserve" if event.type == "reserved" else "release"
                for callback in list(self._reservations):
                    callback(event.instance or "", event.player or "", action)
        if seat.is_over() and self._wrapped is not None:
            self._wrapped.remove(seat)
            if seat is self._seat:
                self._seat = None

    def disconnect(self) -> None:
        """Leaves the session; a creator closes it. Returns when the broker knows, after at most 5
        seconds, and on the client's own thread at once. The client stays connected."""
        seat, wrapped = self._seat, self._wrapped
        self._seat = None
        if wrapped is None:
            return
        if seat is not None:
            seat.leave()
            wrapped.wait_said(seat.is_departed, 5)
        self.stopSessionDiscovery()
        self.session_id = None
        self.connected_players.clear()


def _level(name: str) -> str:
    """A name or id as a level of a topic: ASCII letters, digits, ``-`` and ``_`` as they are."""
    return re.sub("[^A-Za-z0-9_-]", lambda c: "".join(f"%{b:02X}" for b in c[0].encode()), name)
