"""The names, signatures and defaults by which the original program uses its session classes."""

from __future__ import annotations

import inspect
import json
from typing import Any, Callable

import pytest

import distflow.sessions as sessions
from distflow.sessions import (
    ConnectionState,
    SGConnectionStateManager,
    SGDistributedGameConfig,
    SGDistributedSession,
    SGDistributedSessionManager,
    SGMQTTHandlerManager,
    SGMQTTManager,
    SGSeedSyncManager,
    SGSessionDiscoveryManager,
)
from distflow.sessions.manager import SGDistributedSessionManager as Manager

from .conftest import until


class Client:
    """As much of a paho client as is looked at; without a connection."""

    on_message: Any = None

    def is_connected(self) -> bool:
        return False


class Nothing:
    client = None
    clientId = "x"


CLIENT, NOTHING = Client(), Nothing()


SIGNATURES: dict[str, str] = {
    "SGDistributedSession": (
        "session_id, creator_client_id, model_name='Unknown', num_players_min=1, num_players_max=4"
    ),
    "SGDistributedSession.add_instance": "self, client_id",
    "SGDistributedSession.start": "self",
    "SGMQTTHandlerManager": "mqtt_client",
    "SGDistributedSessionManager": "model, mqtt_manager",
    "SGDistributedSessionManager.getSessionTopics": "session_id",
    "SGDistributedGameConfig": "",
    "SGDistributedGameConfig.set_broker_servers": "self, broker_servers",
    "SGDistributedGameConfig.get_broker_by_name": "self, name",
    "SGDistributedGameConfig.set_num_players": "self, num_players",
    "SGDistributedGameConfig.generate_session_id": "self",
    "SGDistributedGameConfig.generate_shared_seed": "self",
    "SGDistributedGameConfig.validate": "self",
    "SGConnectionStateManager": "initial_state=<ConnectionState.SETUP: 'setup'>",
    "SGConnectionStateManager.on_state_changed": "self, callback",
    "SGConnectionStateManager.remove_state_changed_callback": "self, callback",
    "SGConnectionStateManager.register_state_handler": "self, state, handler",
    "SGConnectionStateManager.remove_state_handler": "self, state, handler",
    "SGConnectionStateManager.register_transition_validator": (
        "self, from_state, to_state, validator"
    ),
    "SGConnectionStateManager.transition_to": "self, new_state, force=False",
    "SGConnectionStateManager.can_transition_to": "self, new_state",
    "SGSessionDiscoveryManager": "mqtt_client, session_manager=None, mqtt_handler_manager=None",
    "SGSessionDiscoveryManager.start_discovery": "self, connected_session_id=None",
    "SGSessionDiscoveryManager.stop_discovery": "self",
    "SGSessionDiscoveryManager.on_sessions_updated": "self, callback",
    "SGSessionDiscoveryManager.remove_sessions_updated_callback": "self, callback",
    "SGSessionDiscoveryManager.on_session_state_updated": "self, callback",
    "SGSessionDiscoveryManager.remove_session_state_updated_callback": "self, callback",
    "SGSessionDiscoveryManager._start_player_registration_tracking": (
        "self, connected_session_id=None"
    ),
    "SGSeedSyncManager": (
        "mqtt_client, session_manager=None, mqtt_handler_manager=None, model=None"
    ),
    "SGSeedSyncManager.sync_seed": (
        "self, session_id, shared_seed=None, timeout=2.0, initial_wait=1.0, client_id_callback=None"
    ),
    "SGSeedSyncManager.on_seed_synced": "self, callback",
    "SGSeedSyncManager.remove_seed_synced_callback": "self, callback",
    "SGSeedSyncManager.on_instance_connected": "self, callback",
    "SGSeedSyncManager.remove_instance_connected_callback": "self, callback",
    "SGSeedSyncManager.on_sync_failed": "self, callback",
    "SGSeedSyncManager.remove_sync_failed_callback": "self, callback",
    "SGSeedSyncManager.stop_republishing": "self",
    "SGSeedSyncManager.stop_tracking": "self",
    "SGSeedSyncManager.reset": "self",
    "SGMQTTManager": "model",
    "SGMQTTManager.getGameTopics": "session_id=None",
    "SGMQTTManager.isGameTopic": "topic, session_id=None",
    "SGMQTTManager.setMQTTProtocol": (
        "self, majType, broker_host='localhost', broker_port=1883, session_id=None"
    ),
    "SGMQTTManager.initMQTT": "self",
    "SGMQTTManager.connect_mqtt": "self",
    "SGMQTTManager.buildNextTurnMsgAndPublishToBroker": "self",
    "SGMQTTManager.onMAJTimer": "self",
    "SGMQTTManager.executeGameActionsAfterBrokerMsg": "self",
    "SGMQTTManager.disconnect": "self",
}

ATTRIBUTES: list[tuple[Callable[[], object], dict[str, object]]] = [
    (lambda: SGMQTTHandlerManager(CLIENT), {"mqtt_client": CLIENT}),
    (
        lambda: SGDistributedSessionManager(None, NOTHING),
        {
            "session_discovery_handler": None,
            "session_id": None,
            "connected_players": {},
            "discovered_sessions": {},
            "seed_received": False,
            "synced_seed": None,
            "synced_seed_value": None,
            "is_leader": False,
        },
    ),
    (
        SGDistributedGameConfig,
        {
            "num_players": None,
            "num_players_min": None,
            "num_players_max": None,
            "assigned_player_name": None,
            "session_id": None,
            "shared_seed": None,
            "broker_host": "localhost",
            "broker_port": 1883,
            "broker_servers": [],
            "selected_broker_name": "main",
            "use_custom_broker": False,
            "custom_broker_host": "",
            "custom_broker_port": None,
            "mqtt_update_type": "Instantaneous",
            "seed_sync_timeout": 1.0,
            "is_session_creator": False,
            "connected_instances_count": 0,
        },
    ),
    (SGConnectionStateManager, {"current_state": ConnectionState.SETUP}),
    (
        lambda: SGSessionDiscoveryManager(CLIENT, Manager(None, NOTHING)),
        {
            "available_sessions": {},
            "session_players_cache": {},
            "session_instances_cache": {},
            "session_states_cache": {},
        },
    ),
    (
        lambda: SGSeedSyncManager(CLIENT, Manager(None, NOTHING)),
        {"seed_synced": False, "synced_seed_value": None, "connected_instances": set()},
    ),
    (
        lambda: SGMQTTManager(None),
        {
            "client": None,
            "clientId": None,
            "session_id": None,
            "majTimer": None,
            "actionsFromBrokerToBeExecuted": [],
        },
    ),
]


def signature(of: Any) -> str:
    parameters = inspect.signature(of).parameters.values()
    return ", ".join(
        one.name if one.default is one.empty else f"{one.name}={one.default!r}"
        for one in parameters
    )


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures_are_those_of_the_originals(name: str) -> None:
    assert name.split(".", maxsplit=1)[0] in sessions.__all__
    found: Any = sessions
    for part in name.split("."):
        found = getattr(found, part)
    assert signature(found) == SIGNATURES[name]


@pytest.mark.parametrize("at", range(len(ATTRIBUTES)))
def test_attributes_have_the_originals_values(at: int) -> None:
    make, attributes = ATTRIBUTES[at]
    made = make()
    assert {name: getattr(made, name) for name in attributes} == attributes


def test_handlers_take_the_client_by_keyword() -> None:
    handlers = SGMQTTHandlerManager(mqtt_client=CLIENT)
    assert handlers.mqtt_client is handlers.client is CLIENT


def test_instances_have_the_methods_of_a_set() -> None:
    session = SGDistributedSession("s", "aa", num_players_max=2)
    for instance in ("bb", "cc", "dd"):
        # Above the maximum, too; whether it gets in is the creator's word.
        assert session.add_instance(instance)
    assert not session.can_accept_more_instances()
    instances = session.connected_instances
    for name in dir(set):
        assert name.startswith("_") or hasattr(instances, name), name
    copy = instances.copy()
    copy.add("ee")
    assert list(copy) == ["aa", "bb", "cc", "dd", "ee"] and "ee" not in instances
    assert instances.union({"ee"}) == copy == instances | {"ee"}
    assert list(copy.difference({"aa"}, ["bb"])) == ["cc", "dd", "ee"]
    assert copy.intersection({"bb", "zz"}) == {"bb"}
    assert copy.symmetric_difference({"aa", "zz"}) == {"bb", "cc", "dd", "ee", "zz"}
    assert instances.issubset(copy) and copy.issuperset(instances)
    copy.intersection_update({"aa", "bb"})
    copy.update(["x"], {"y"})
    copy.difference_update({"aa"})
    copy.symmetric_difference_update({"y", "z"})
    assert list(copy) == ["bb", "x", "z"]
    assert json.dumps(session.to_dict())


def test_the_start_counts_each_time() -> None:
    session = SGDistributedSession("s", "aa")
    session.start()
    session.start()
    assert (session.state, session.version) == ("started", 3)
    session.close()
    session.start()
    assert (session.state, session.version) == ("closed", 5)


def test_a_configuration_knows_brokers_and_asks_for_a_player() -> None:
    config = SGDistributedGameConfig()
    assert config.validate() == (False, "num_players must be set")
    config.set_num_players((2, 4))
    assert config.validate() == (False, "session_id must be set")
    config.generate_session_id()
    assert config.validate() == (False, "assigned_player_name must be set")
    config.assigned_player_name = "Farmer"
    assert config.validate() == (True, None)
    config.mqtt_update_type = "Never"
    assert config.validate()[0] is False
    server = {"name": "main", "host": "localhost", "port": 1883}
    config.set_broker_servers([server, {"name": "b", "host": "h", "port": 1}])
    assert config.get_broker_by_name("main") == server
    assert config.get_broker_by_name("x") is None
    wrong: list[Any] = [
        ({}, "must be a list"),
        ([1], "broker 0 must be a dict"),
        ([{"host": "h", "port": 1}], "the name of broker 0"),
        ([server, server], "two brokers 'main'"),
        ([{"name": "b", "port": 1}], "the host of broker 'b'"),
        ([{"name": "b", "host": "h", "port": 0}], "the port of broker 'b' must be 1 to 65535"),
    ]
    for servers, text in wrong:
        with pytest.raises(ValueError, match=text):
            config.set_broker_servers(servers)
    config.set_broker_servers(None)
    assert config.broker_servers == []


def test_the_state_has_callbacks_handlers_and_validators() -> None:
    told: list[Any] = []
    state = SGConnectionStateManager(initial_state=ConnectionState.CONNECTING)

    def changed(*change: ConnectionState) -> None:
        told.append(change)

    def broken(*_: ConnectionState) -> None:
        raise RuntimeError

    state.on_state_changed(broken)
    state.on_state_changed(changed)
    state.on_state_changed(changed)
    state.register_state_handler(ConnectionState.WAITING, lambda: told.append("waiting"))
    state.register_transition_validator(
        ConnectionState.CONNECTING, ConnectionState.READY, lambda _old, _new: False
    )
    assert not state.can_transition_to(ConnectionState.READY)
    assert not state.transition_to(ConnectionState.READY)
    assert state.transition_to(ConnectionState.CONNECTING) and told == []
    assert state.transition_to(ConnectionState.WAITING)
    assert told == [(ConnectionState.CONNECTING, ConnectionState.WAITING), "waiting"]
    state.transition_to(ConnectionState.CONNECTING)
    assert state.transition_to(ConnectionState.READY, force=True)
    told.clear()
    state.remove_state_changed_callback(changed)
    state.transition_to("setup")
    assert told == []


def test_without_a_connection_nothing_is_raised() -> None:
    manager = SGDistributedSessionManager(None, Nothing())
    session = SGDistributedSession("s", "x")
    assert manager.readSessionState("s") is None
    manager.publishSessionState(session)
    manager.publishSession("s", 1, 4)
    manager.discoverSessions()
    manager.subscribeToSessionState("s", print)
    assert not manager.updateSessionState("s", print)
    assert not manager.reservePlayer("s", "Farmer")
    assert not manager.releasePlayer("s", "Farmer")
    assert not manager.subscribeToPlayerReservations("s", print)
    assert not manager.waitForPlayers("s", 1, 4)
    assert manager.getConnectedPlayers("s") == []
    assert manager.getSessionTopics(None)[0] == "session_player_registration"
    discovery = SGSessionDiscoveryManager(CLIENT, manager)
    discovery.start_discovery()
    discovery._start_player_registration_tracking()
    discovery.stop_discovery()
    seeds, failures = SGSeedSyncManager(CLIENT, manager), []
    seeds.on_sync_failed(failures.append)
    assert seeds.sync_seed("s") is None
    assert failures == ["MQTT client must be connected before syncing seed"]


mqtt = pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not for this interpreter")


class Model:
    """As much of the original's model as its managers use."""

    mqttMajType: Any = None

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.timeManager = self

    def nextPhase(self) -> None:
        self.done.append("next")

    def perform_with(self, *arguments: Any, serverUpdate: bool) -> None:
        self.done.append((arguments, serverUpdate))

    def harvest(self, amount: int) -> None:
        self.done.append(amount)

    def getGameAction_withClassAndId(self, _class: str, _id: int) -> Model:
        return self

    def getSGEntity_withIdentfier(self, identifier: Any) -> Any:
        return ("entity", identifier)

    def getSGObject_withIdentifier(self, _identifier: Any) -> Model:
        return self

    def getObjectIdentiferForJsonDumps(self) -> Any:
        return {"name": "Farm", "id": 7}


def test_managers_of_mqtt_play_with_each_other(broker_port: int) -> None:
    one, two = (SGMQTTManager(Model()) for _ in range(2))
    for manager in (one, two):
        manager.setMQTTProtocol("Phase", "127.0.0.1", broker_port, session_id="played")
        until(manager.client.is_connected)
    assert (one.model.mqttMajType, one.clientId != two.clientId) == ("Phase", True)
    two.allow("Farm", "harvest")

    def is_heard(say: Callable[[], None], done: object) -> None:
        def look() -> bool:
            say()
            two.executeGameActionsAfterBrokerMsg()
            return done in two.model.done

        until(look)

    is_heard(one.buildNextTurnMsgAndPublishToBroker, "next")
    action = {"class_name": "Act", "id": 1, "method": "perform_with"}
    is_heard(
        lambda: one.buildExeMsgAndPublishToBroker("gameAction_performed", action, 3, one.model),
        ((3, ("entity", {"name": "Farm", "id": 7})), False),
    )
    harvest = {"class_name": "Farm", "id": 1, "method": "harvest"}
    other = {"class_name": "Farm", "id": 1, "method": "nextPhase"}
    two.model.done.clear()
    one.buildExeMsgAndPublishToBroker("execute_method", other)
    is_heard(lambda: one.buildExeMsgAndPublishToBroker("execute_method", harvest, 5), 5)
    # Nobody calls what was not allowed, and nobody does what it has said itself.
    assert "next" not in two.model.done
    one.executeGameActionsAfterBrokerMsg()
    assert one.model.done == []
    for manager in (one, two):
        manager.disconnect()
    with pytest.raises(ConnectionError, match="Unable to connect to MQTT broker"):
        SGMQTTManager(Model()).setMQTTProtocol("Phase", "127.0.0.1", 1)
