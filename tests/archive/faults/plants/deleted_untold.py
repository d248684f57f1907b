"""Files are given up before that is told."""

from __future__ import annotations

from eventlog.upkeep import tiers
from tests.archive.faults.plants._edit import edit, line


def plant() -> None:
    tell, remove = line("tell(move)", 2), line("table.remove(gone, move.why)", 2)
    edit(tiers, "_within", (tell + remove, remove + tell))
