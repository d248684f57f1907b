"""Planting in functions that other modules have imported by name."""

from __future__ import annotations

import inspect
import sys
from typing import Any

from tests.faults.plants import _edit


def edit(owner: Any, name: str, *changes: tuple[str, str], **names: Any) -> None:
    """As `tests.faults.plants._edit.edit`, and wherever else the function is known by a name of its own."""
    before = inspect.getattr_static(owner, name)
    _edit.edit(owner, name, *changes, **names)
    for module in list(sys.modules.values()):
        if module.__name__.startswith(("eventlog.", "tests.archive.")) and vars(module).get(name) is before:
            setattr(module, name, getattr(owner, name))


def line(text: str, indent: int = 1) -> str:
    """A line of a function's body, which is indented by four for each level."""
    return "    " * indent + text + "\n"
