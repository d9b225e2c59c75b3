"""The originals' window that shows who is connected."""

from __future__ import annotations

import importlib
from typing import Any

from . import qt

_widgets: Any = importlib.import_module(f"{qt._NAME}.QtWidgets")
_gui: Any = importlib.import_module(f"{qt._NAME}.QtGui")

_REFRESH_MS = 3_000


class SGConnectionStatusWidget(_widgets.QWidget):  # type: ignore[misc]
    """A window with the session's id, whether there is a connection to the broker, and which
    players of ``model.players`` are taken. It refreshes itself every 3 seconds and whenever a
    player comes or goes.

    ``session_manager`` is a :class:`distflow.sessions.qt.SGDistributedSessionManager`: its signals
    come on the thread of the window.
    """

    def __init__(
        self, parent: Any, model: Any, distributed_config: Any, session_manager: Any
    ) -> None:
        super().__init__(parent)
        self.model = model
        self.distributed_config = distributed_config
        self.session_manager = session_manager
        self.setWindowFlags(qt.Qt.WindowType.Window)
        self.setWindowTitle("Connection Status")
        self.session_id_label = _widgets.QLabel()
        self.session_id_label.setWordWrap(True)
        self.broker_status_label = _widgets.QLabel()
        self.players_list = _widgets.QListWidget()
        self.stats_label = _widgets.QLabel()
        button = _widgets.QPushButton("Disconnect")
        button.clicked.connect(self._on_button)
        layout = _widgets.QFormLayout(self)
        layout.addRow("Session ID:", self.session_id_label)
        layout.addRow("Broker:", self.broker_status_label)
        layout.addRow("Players:", self.players_list)
        layout.addRow(self.stats_label)
        layout.addRow(button)
        self.refresh_timer = qt._core.QTimer(self)
        self.refresh_timer.timeout.connect(self.updateConnectionStatus)
        self.refresh_timer.start(_REFRESH_MS)
        for signal in (session_manager.playerConnected, session_manager.playerDisconnected):
            signal.connect(self._on_player)
        self.updateConnectionStatus()

    def _on_button(self) -> None:
        self.disconnect()

    def _on_player(self, _name: str) -> None:
        self.updateConnectionStatus()

    def updateConnectionStatus(self) -> None:
        """Shows what is so now."""
        config, client = self.distributed_config, self.model.mqttManager.client
        is_connected = client is not None and client.is_connected()
        state, color = ("Connected", "green") if is_connected else ("Disconnected", "red")
        self.broker_status_label.setText(f"{config.broker_host}:{config.broker_port} ({state})")
        self.broker_status_label.setStyleSheet(f"color: {color}")
        self.session_id_label.setText(config.session_id or "N/A")
        connected = self.session_manager.getConnectedPlayers(config.session_id)
        self.players_list.clear()
        for name in self.model.players:
            # The administrator is no player of the game.
            if name == "Admin":
                continue
            what, color = ("Waiting...", "orange")
            if name == config.assigned_player_name:
                what, color = ("You", "blue")
            elif name in connected:
                what, color = ("Connected", "green")
            item = _widgets.QListWidgetItem(f"{name} ({what})")
            item.setForeground(_gui.QBrush(_gui.QColor(color)))
            self.players_list.addItem(item)
        most = config.num_players_max
        self.stats_label.setText(f"Connected: {len(connected)}/{'?' if most is None else most}")

    def disconnect(self, *arguments: Any) -> Any:
        """Asks whether the session is to be left, and does; with arguments, that of every
        ``QObject``."""
        if arguments:
            return super().disconnect(*arguments)
        buttons = _widgets.QMessageBox.StandardButton
        text = "Are you sure you want to disconnect from this session?"
        answer = _widgets.QMessageBox.question(
            self, "Disconnect", text, buttons.Yes | buttons.No, buttons.No
        )
        if answer == buttons.Yes:
            self.session_manager.disconnect()
            self.close()
        return None
