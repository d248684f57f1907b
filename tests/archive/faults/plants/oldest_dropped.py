"""A commit of a file drops the oldest one of its partition."""

from __future__ import annotations

from eventlog.archive.table import Table
from tests.archive.faults.plants._edit import edit

ADDED = "[actions.add(segment, data_change=True)]"
DROPPED = "[actions.remove(each, 0, data_change=True) for each in self._left(table, segment.partition, [])[:1]]"


def plant() -> None:
    edit(Table, "append", (ADDED, f"{ADDED} + {DROPPED}"))
