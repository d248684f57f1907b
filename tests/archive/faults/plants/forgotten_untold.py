"""Kafka forgets before the move is told."""

from __future__ import annotations

from eventlog.upkeep import tiers
from tests.archive.faults.plants._edit import edit, line


def plant() -> None:
    done = line("future.result(TIMEOUT_S)", 3)
    edit(tiers, "forget", (line("tell(move)"), ""), (done, done + line("tell(move)", 2)))
