"""The originals' manager of a connection to a broker, and of the game's messages."""

from __future__ import annotations

import importlib
import json
import logging
import threading
import uuid
from typing import Any, Callable, ClassVar, Dict, List, Optional, Set, Tuple

_LOG = logging.getLogger("distflow")

# As the originals spell it.
_IDENTIFIER = "SGObjectIdentifer"

# Actions that may wait to be executed; then the oldest go.
_ACTIONS_MAX = 10_000


class SGMQTTManager:
    """The connection of a program of the originals, by paho, which the program brings
    (``pip install paho-mqtt``), and the messages of its game.

    What others do waits in ``actionsFromBrokerToBeExecuted`` until
    :meth:`executeGameActionsAfterBrokerMsg` is called on the program's own thread;
    ``distflow.sessions.qt.SGMQTTManager`` calls it 10 times a second. The originals call
    whatever method a message names: here only those that :meth:`allow` was told.
    """

    GAME_TOPICS: ClassVar[List[str]] = ["gameAction_performed", "nextTurn", "execute_method"]

    def __init__(self, model: Any) -> None:
        self.model = model
        self.client: Any = None
        self.clientId: Optional[str] = None
        self.session_id: Optional[str] = None
        self.broker_host = "localhost"
        self.broker_port = 1883
        self.majTimer: Any = None
        self.haveToBeClose = False
        self.actionsFromBrokerToBeExecuted: List[Dict[str, Any]] = []
        # Protects the actions: they come on the client's thread.
        self._lock = threading.Lock()
        self._allowed: Set[Tuple[str, str]] = set()

    # ------------------------------------------------------------------ topics

    @classmethod
    def getGameTopics(cls, session_id: Optional[str] = None) -> List[str]:
        """The topics of the game, below a session if there is one."""
        prefix = f"{session_id}/" if session_id else ""
        return [f"{prefix}game_{name}" for name in cls.GAME_TOPICS]

    @classmethod
    def isGameTopic(cls, topic: str, session_id: Optional[str] = None) -> bool:
        """Whether a topic is one of these."""
        return topic in cls.getGameTopics(session_id)

    # ------------------------------------------------------------------ connection

    def setMQTTProtocol(
        self,
        majType: str,
        broker_host: str = "localhost",
        broker_port: int = 1883,
        session_id: Optional[str] = None,
    ) -> None:
        """Connects to a broker, with a new ``clientId``, and subscribes to the game's messages.
        ``majType`` is ``Instantaneous`` or ``Phase``.

        Errors: ``ConnectionError``; ``ImportError`` without paho.
        """
        self.clientId = uuid.uuid4().hex
        self.session_id = session_id
        self.broker_host, self.broker_port = broker_host, broker_port
        self.haveToBeClose = False
        self.initMQTT()
        self._start_timer()
        self.model.mqttMajType = majType

    def _start_timer(self) -> None:
        """Here the program executes what waits."""

    def initMQTT(self) -> None:
        """Connects, and subscribes to the game's messages."""
        self.connect_mqtt()
        self.client.on_message = self._on_message
        for topic in self.getGameTopics(self.session_id):
            self.client.subscribe(topic)

    def connect_mqtt(self) -> None:
        """Connects.

        Errors: ``ConnectionError``; ``ImportError`` without paho.
        """
        paho: Any = importlib.import_module("paho.mqtt.client")

        # Not the player's name, as in the originals: two of one name would put each other out.
        name = f"sge-{self.clientId}"
        if hasattr(paho, "CallbackAPIVersion"):
            self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, name)
        else:
            self.client = paho.Client(name)
        try:
            self.client.connect(self.broker_host, self.broker_port)
        except OSError as error:
            place = f"{self.broker_host}:{self.broker_port}"
            text = f"Unable to connect to MQTT broker at {place}. {error}"
            raise ConnectionError(text) from error
        self.client.user_data_set(self)
        self.client.loop_start()

    def disconnect(self) -> None:
        """Disconnects from the broker."""
        self.haveToBeClose = True
        if self.client is not None:
            self.client.disconnect()
            self.client.loop_stop()

    # ------------------------------------------------------------------ what is sent

    def buildNextTurnMsgAndPublishToBroker(self) -> None:
        """Says that the next turn begins. Error: ``ValueError`` without a client."""
        self._publish(self.getGameTopics(self.session_id)[1], {})

    def buildExeMsgAndPublishToBroker(
        self, topic: str, object_and_method: Dict[str, Any], *arguments: Any
    ) -> None:
        """Says what was done: on a topic, or a name of ``GAME_TOPICS``, the dict of ``class_name``,
        ``id`` and ``method``, and the arguments, of which objects of the game are named by their
        ``getObjectIdentiferForJsonDumps``. Error: ``ValueError`` without a client.
        """
        if topic in self.GAME_TOPICS:
            topic = self.getGameTopics(self.session_id)[self.GAME_TOPICS.index(topic)]
        said = [
            [_IDENTIFIER, argument.getObjectIdentiferForJsonDumps()]
            if hasattr(argument, "getObjectIdentiferForJsonDumps")
            else argument
            for argument in arguments
        ]
        self._publish(topic, {"objectAndMethod": object_and_method, "listOfArgs": said})

    def _publish(self, topic: str, message: Dict[str, Any]) -> None:
        if self.client is None:
            raise ValueError("the MQTT client is not initialized: call setMQTTProtocol first")
        self.client.publish(topic, json.dumps({"clientId": self.clientId, **message}))

    # ------------------------------------------------------------------ what comes

    def allow(self, class_name: str, method: str) -> None:
        """Lets others call a method of the objects of a class, by ``execute_method``."""
        self._allowed.add((class_name, method))

    def _on_message(self, _client: Any, _userdata: Any, message: Any) -> None:
        topics = self.getGameTopics(self.session_id)
        if message.topic not in topics:
            return
        process: Callable[[Dict[str, Any]], None] = (
            self.processBrokerMsg_gameAction_performed,
            self.processBrokerMsg_nextTrun,
            self.processBrokerMsg_executeMethod,
        )[topics.index(message.topic)]
        try:
            said = json.loads(message.payload)
            if said["clientId"] != self.clientId:
                process(said)
        except Exception:
            _LOG.exception("a message on %s was not understood", message.topic)

    def _later(self, action: Dict[str, Any]) -> None:
        with self._lock:
            self.actionsFromBrokerToBeExecuted.append(action)
            del self.actionsFromBrokerToBeExecuted[:-_ACTIONS_MAX]

    def processBrokerMsg_nextTrun(self, _message: Dict[str, Any]) -> None:
        """The next turn begins."""
        self._later({"action_type": "nextTurn"})

    def processBrokerMsg_gameAction_performed(self, message: Dict[str, Any]) -> None:
        """An action of the game was performed: here, too. Error: ``ValueError`` for any other
        method than ``perform_with``."""
        target = message["objectAndMethod"]
        if target["method"] != "perform_with":
            raise ValueError(f"an action is performed by perform_with, not {target['method']!r}")
        action = self.model.getGameAction_withClassAndId(target["class_name"], target["id"])
        found = self.model.getSGEntity_withIdentfier
        arguments = [self._argument(one, found) for one in message["listOfArgs"]]
        self._later({"action_type": "gameAction", "gameAction": action, "listOfArgs": arguments})

    def processBrokerMsg_executeMethod(self, message: Dict[str, Any]) -> None:
        """A method is to be called, if that is allowed. Error: ``ValueError`` if it is not."""
        target = message["objectAndMethod"]
        name, method = target["class_name"], target["method"]
        if (name, method) not in self._allowed:
            raise ValueError(f"others may not call {method!r} of {name!r}: see allow")
        found = self.model.getSGObject_withIdentifier
        called = getattr(found({"name": name, "id": target["id"]}), method)
        arguments = [self._argument(one, found) for one in message["listOfArgs"]]
        self._later(
            {"action_type": "execute_method", "boundMethod": called, "listOfArgs": arguments}
        )

    @staticmethod
    def _argument(said: Any, found: Callable[[Any], Any]) -> Any:
        if isinstance(said, list) and len(said) == 2 and said[0] == _IDENTIFIER:
            return found(said[1])
        return said

    def onMAJTimer(self) -> None:
        """Time passes."""
        self.executeGameActionsAfterBrokerMsg()

    def executeGameActionsAfterBrokerMsg(self) -> None:
        """Does what others have done, on the calling thread. An exception is logged, and the next
        one is done nevertheless."""
        with self._lock:
            actions, self.actionsFromBrokerToBeExecuted = self.actionsFromBrokerToBeExecuted, []
        for action in actions:
            try:
                if action["action_type"] == "gameAction":
                    action["gameAction"].perform_with(*action["listOfArgs"], serverUpdate=False)
                elif action["action_type"] == "execute_method":
                    action["boundMethod"](*action["listOfArgs"])
                else:
                    self.model.timeManager.nextPhase()
            except Exception:
                _LOG.exception("an action of another instance failed")
