#!/usr/bin/env python3
"""The same for a terminal: a live list of sessions, on asyncio.

python session_terminal.py [BROKER-URL [MODEL]]

Needs textual (pip install textual). Keys: c creates, j joins the chosen session, s starts, l
leaves, q ends.
"""

from __future__ import annotations

import asyncio
import sys
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.widgets import Footer, Label, ListItem, ListView

from distflow import DistflowError
from distflow.sessions import aio
from distflow.sessions.types import count_text


class Sessions(App[None]):
    """One instance."""

    BINDINGS: ClassVar = [
        ("c", "create", "Create"),
        ("j", "join", "Join"),
        ("s", "start", "Start"),
        ("l", "leave", "Leave"),
        ("q", "end", "End"),
    ]

    def __init__(self, url: str, model: str) -> None:
        super().__init__()
        self.manager = aio.SessionManager(url)
        self.model = model
        self.session: aio.Session | None = None
        self.sessions: aio.SessionList | None = None
        self.ids: list[str] = []

    def compose(self) -> ComposeResult:
        """What is on the screen."""
        yield ListView(id="sessions")
        yield Label("", id="count")
        yield Label("connecting", id="status")
        yield Footer()

    def on_mount(self) -> None:
        """Begins to watch the list."""
        self.drawing = asyncio.Lock()
        self.run_worker(self.watch_list(), group="list")

    def say(self, text: str) -> None:
        """Shows a line."""
        self.query_one("#status", Label).update(text)

    async def watch_list(self) -> None:
        """Draws the list whenever it changes."""
        try:
            self.sessions = await self.manager.list()
        except DistflowError as error:
            self.say(str(error))
            return
        self.say("connected")
        while True:
            await self.draw_list()
            await self.sessions.changed()

    async def draw_list(self) -> None:
        """Draws the rows as they come: texts and check mark are theirs."""
        if self.sessions is None:
            return
        # The list and the session are watched by two tasks.
        async with self.drawing:
            rows = self.sessions.rows(self.session.id if self.session else None)
            self.ids = [row.session_id for row in rows]
            texts = [row.text for row in rows] or ["No sessions available"]
            view = self.query_one("#sessions", ListView)
            await view.clear()
            await view.extend(ListItem(Label(text, markup=False)) for text in texts)

    async def watch_session(self, session: aio.Session) -> None:
        """Draws what happens in the session."""
        await self.draw_session(session)
        async for event in session:
            if event.type == "countdown":
                self.say(f"the game starts in {event.seconds} s")
            elif event.type == "game_started":
                self.say("the game has started")
            elif event.type == "ended":
                self.say(event.text or "")
                break
            await self.draw_session(session)
        self.session = None
        self.query_one("#count", Label).update("")
        await self.draw_list()

    async def draw_session(self, session: aio.Session) -> None:
        """Draws the counter."""
        view = session.view
        counted = count_text(len(view.members), view.players_min or 1, view.players_max or 4)
        self.query_one("#count", Label).update(f"{counted}   Seed: {view.seed}")
        await self.draw_list()

    def use(self, session: aio.Session) -> None:
        """This instance is in a session."""
        self.session = session
        self.say(f"in session {session.id}")
        self.run_worker(self.watch_session(session), group="session")

    async def action_create(self) -> None:
        """Creates a session."""
        if self.session is None:
            self.use(await self.manager.create(model_name=self.model, players_min=2, players_max=4))

    async def action_join(self) -> None:
        """Joins the chosen session, or the newest."""
        chosen = self.query_one("#sessions", ListView).index or 0
        if self.session is None and chosen < len(self.ids):
            try:
                self.use(await self.manager.join(self.ids[chosen]))
            except DistflowError as error:
                self.say(str(error))

    async def action_start(self) -> None:
        """Starts the game, three seconds later."""
        if self.session is not None:
            try:
                await self.session.start(3)
            except DistflowError as error:
                self.say(str(error))

    async def action_leave(self) -> None:
        """Leaves the session."""
        if self.session is not None:
            await self.session.leave()

    async def action_end(self) -> None:
        """Leaves, and ends."""
        await self.action_leave()
        if self.sessions is not None:
            self.sessions.close()
        self.exit()


if __name__ == "__main__":
    Sessions(
        sys.argv[1] if len(sys.argv) > 1 else "mqtt://localhost",
        sys.argv[2] if len(sys.argv) > 2 else "Forest",
    ).run()
