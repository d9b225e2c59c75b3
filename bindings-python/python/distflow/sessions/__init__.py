"""Game sessions over any MQTT broker.

A program creates a session or joins one, sees who else is in, agrees on a seed and on who plays
whom, and starts the game. Joins that happen in the same instant are all in; whoever crashes is gone
within seconds, and does not come back. Programs with the original session classes can be in the
same sessions.

.. code-block:: python

    from distflow.sessions import SessionManager

    manager = SessionManager("mqtt://localhost")
    with manager.create(model_name="Forest", players_max=4) as session:
        for event in session:
            print(event.type, session.members)

:class:`SessionManager` and :class:`Session` block; :mod:`distflow.sessions.aio` has the same for
asyncio. The names of the original classes are here, too: ``SGDistributedSession``,
``SGDistributedSessionManager``, ``SGDistributedGameConfig``, ``SGMQTTHandlerManager``,
``SGConnectionStateManager``, ``SGSessionDiscoveryManager``, ``SGSeedSyncManager``,
``SGMQTTManager``; with signals of Qt, and the window ``SGConnectionStatusWidget``, in
``distflow.sessions.qt``.
"""

from __future__ import annotations

from .. import _interpreter as _interpreter
from .blocking import Session, SessionList, SessionManager
from .discovery import SGSeedSyncManager, SGSessionDiscoveryManager
from .handlers import HandlerPriority, SGMQTTHandlerManager
from .manager import SGDistributedSessionManager
from .methods import ObjectIdentifier, RemoteMethods
from .mqtt_manager import SGMQTTManager
from .original import (
    ConnectionState,
    SGConnectionStateManager,
    SGDistributedGameConfig,
    SGDistributedSession,
)
from .types import BrokerKeywords, CreateKeywords, Listing, Row, SessionEvent, SessionView

__all__ = [
    "BrokerKeywords",
    "ConnectionState",
    "CreateKeywords",
    "HandlerPriority",
    "Listing",
    "ObjectIdentifier",
    "RemoteMethods",
    "Row",
    "SGConnectionStateManager",
    "SGDistributedGameConfig",
    "SGDistributedSession",
    "SGDistributedSessionManager",
    "SGMQTTHandlerManager",
    "SGMQTTManager",
    "SGSeedSyncManager",
    "SGSessionDiscoveryManager",
    "Session",
    "SessionEvent",
    "SessionList",
    "SessionManager",
    "SessionView",
]
