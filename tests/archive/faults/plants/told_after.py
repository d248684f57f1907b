"""What was replaced is removed before the move is told."""

from __future__ import annotations

from eventlog.upkeep import compact
from tests.archive.faults.plants._edit import edit, line


def plant() -> None:
    told = (
        line("for sources, made in compactions:")
        + line("if left & {source.key for source in sources}:", 2)
        + line("before(sources, made)", 3)
    )
    end = line("return removed")
    edit(compact, "sweep", (told, ""), (end, told + end))
