"""Compaction of state keeps the first record of each key."""

from __future__ import annotations

from eventlog.upkeep import compact
from tests.archive.faults.plants._edit import edit


def plant() -> None:
    edit(compact, "latest_of", ("last[key] = offset", "last.setdefault(key, offset)"))
