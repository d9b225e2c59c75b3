"""What PyInstaller asks for when it packs a program that uses distflow."""

from __future__ import annotations

import os


def hook_folders() -> list[str]:
    """The folders with hooks."""
    return [os.path.dirname(os.path.abspath(__file__))]
