"""What is put aside stays in the table where a file holds both."""

from __future__ import annotations

from eventlog.upkeep import rewind
from tests.archive.faults.plants._edit import edit


def plant() -> None:
    edit(rewind, "rewind", ("each.end > offset]", "each.begin >= offset]"))
