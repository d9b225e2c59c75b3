#!/usr/bin/env python3
"""The dialog with which a game begins: a live list of sessions, with check mark, counters and seed.

python session_dialog.py [BROKER-URL [MODEL]]

Needs tkinter (Debian: apt-get install python3-tk). All that waits for the broker does so on other
threads; the window asks four times a second what is new, and so never stands still.
"""

from __future__ import annotations

import queue
import sys
import threading
import tkinter as tk
from tkinter import ttk
from typing import Callable

from distflow import DistflowError
from distflow.sessions import Session, SessionList, SessionManager
from distflow.sessions.types import count_text

LOOK_MS = 250


class Dialog:
    """One window, one instance."""

    def __init__(self, root: tk.Tk, url: str, model: str) -> None:
        self.root = root
        self.model = model
        self.manager = SessionManager(url)
        self.sessions: SessionList | None = None
        self.session: Session | None = None
        self.ids: list[str] = []
        # What other threads want to be done on this one.
        self.done: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

        root.title(f"{model}: sessions on {url}")
        root.protocol("WM_DELETE_WINDOW", self.close)
        self.tree = ttk.Treeview(root, show="tree", height=8, selectmode="browse")
        self.tree.tag_configure("connected", background="#e3f2fd")
        self.tree.tag_configure("full", foreground="#888888", font=("TkDefaultFont", 10, "italic"))
        self.tree.pack(fill="both", expand=True, padx=8, pady=8)
        self.count = ttk.Label(root, text="not connected")
        self.count.pack(anchor="w", padx=8)
        self.seed = ttk.Label(root, text="Seed: none")
        self.seed.pack(anchor="w", padx=8)
        self.status = ttk.Label(root, text=f"connecting to {url}")
        self.status.pack(anchor="w", padx=8)
        buttons = ttk.Frame(root)
        buttons.pack(fill="x", padx=8, pady=8)
        self.buttons = {
            name: ttk.Button(buttons, text=name, command=command)
            for name, command in [
                ("Create", self.create),
                ("Join", self.join),
                ("Start", self.start),
                ("Leave", self.leave),
            ]
        }
        for button in self.buttons.values():
            button.pack(side="left", padx=2)
        self.run(self.manager.list, self.use_list)
        self.look()

    def run(self, call: Callable[[], object], then: Callable[..., None]) -> None:
        """Calls something that waits on another thread, and gives what it brings to this one."""

        def work() -> None:
            try:
                brought = call()
                self.done.put(lambda: then(brought))
            except DistflowError as error:
                text = str(error)
                self.done.put(lambda: self.status.configure(text=text))

        threading.Thread(target=work, daemon=True).start()

    def use_list(self, sessions: SessionList) -> None:
        """The list is there."""
        self.sessions = sessions
        self.status.configure(text="connected")

    def use(self, session: Session) -> None:
        """This instance is in a session."""
        self.session = session
        self.status.configure(text=f"in session {session.id}")

    def create(self) -> None:
        """Creates a session."""
        if self.session is None:
            self.run(
                lambda: self.manager.create(model_name=self.model, players_min=2, players_max=4),
                self.use,
            )

    def join(self) -> None:
        """Joins the session that is selected, or the newest."""
        chosen = self.tree.selection() or self.tree.get_children()
        if self.session is None and chosen and chosen[0] in self.ids:
            self.run(lambda: self.manager.join(chosen[0]), self.use)

    def start(self) -> None:
        """Starts the game, three seconds later."""
        if (session := self.session) is not None:
            self.run(lambda: session.start(3), lambda _: None)

    def leave(self) -> None:
        """Leaves the session."""
        if (session := self.session) is not None:
            self.session = None
            self.run(session.leave, lambda _: self.status.configure(text="left"))

    def look(self) -> None:
        """Draws what is new."""
        while not self.done.empty():
            self.done.get()()
        if self.sessions is not None:
            self.draw_list(self.sessions)
        if self.session is not None:
            self.draw_session(self.session)
        else:
            self.count.configure(text="not in a session")
            self.seed.configure(text="Seed: none")
        self.root.after(LOOK_MS, self.look)

    def draw_list(self, sessions: SessionList) -> None:
        """Draws the rows as they come: texts, check mark and colours are theirs."""
        own = self.session.id if self.session is not None else None
        rows = sessions.rows(own)
        chosen = self.tree.selection()
        self.tree.delete(*self.tree.get_children())
        self.ids = [row.session_id for row in rows]
        for row in rows:
            tags = ("connected",) if row.is_checked else ("full",) if row.is_italic else ()
            self.tree.insert("", "end", iid=row.session_id, text=row.text, tags=tags)
        if not rows:
            self.tree.insert("", "end", text="No sessions available")
        self.tree.selection_set([one for one in chosen if one in self.ids])

    def draw_session(self, session: Session) -> None:
        """Draws the counters, and notices the end."""
        view = session.view
        while (event := session.next_event(0)) is not None:
            if event.type == "countdown":
                self.status.configure(text=f"the game starts in {event.seconds} s")
            elif event.type == "game_started":
                self.status.configure(text="the game has started")
            elif event.type == "ended":
                self.status.configure(text=event.text or "")
                self.session = None
        counted = count_text(len(view.members), view.players_min or 1, view.players_max or 4)
        self.count.configure(text=counted)
        self.seed.configure(text=f"Seed: {view.seed if view.seed is not None else 'none'}")

    def close(self) -> None:
        """Leaves, and ends."""
        if self.session is not None:
            self.session.leave()
        if self.sessions is not None:
            self.sessions.close()
        self.root.destroy()


def main() -> None:
    """Runs the dialog."""
    url = sys.argv[1] if len(sys.argv) > 1 else "mqtt://localhost"
    model = sys.argv[2] if len(sys.argv) > 2 else "Forest"
    root = tk.Tk()
    Dialog(root, url, model)
    root.mainloop()


if __name__ == "__main__":
    main()
