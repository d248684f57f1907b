"""Compaction keeps the last record of a key of facts, too."""

from __future__ import annotations

from eventlog.upkeep import compact
from tests.archive.faults.plants._edit import edit


def plant() -> None:
    edit(compact, "compact", ("if latest else None", "if True else None"), ("fewer=latest", "fewer=True"))
