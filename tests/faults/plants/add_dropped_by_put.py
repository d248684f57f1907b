"""A row that is put forgets what was added to its other columns in the same batch."""

from __future__ import annotations

from eventlog.operations import Change
from tests.faults.plants._edit import edit


def plant() -> None:
    drop = "        for column in values:\n            self.adds.pop(column, None)\n"
    edit(Change, "put", (drop, "        self.adds = {}\n"))
