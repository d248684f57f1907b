"""Recovery takes what aborted transactions left in the changelog, position included."""

from __future__ import annotations

from eventlog.reader import LogReader
from tests.faults.plants._edit import edit


def plant() -> None:
    level = '"isolation.level": "read_%s"'
    edit(LogReader, "__init__", (level % "committed", level % "uncommitted"))
