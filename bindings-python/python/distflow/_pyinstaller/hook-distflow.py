"""Collects what imports don't show: the small program that launches the PMD, and modules that are
imported when they are needed."""

from __future__ import annotations

import os

from PyInstaller.utils.hooks import collect_submodules, get_module_file_attribute

_folder = os.path.dirname(get_module_file_attribute("distflow"))
_program = os.path.join(_folder, "bin", "distflow")

# As a binary it keeps the permission to execute.
binaries = [(_program, os.path.join("distflow", "bin"))] if os.path.isfile(_program) else []
# Not the classes for Qt: they would bring Qt into every program.
_unwanted = (".qt", "._pyinstaller")
hiddenimports = collect_submodules("distflow", filter=lambda name: not name.endswith(_unwanted))
