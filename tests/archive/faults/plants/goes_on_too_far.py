"""A replay that goes on after it was killed leaves out the record at which it stood."""

from __future__ import annotations

from projections.rebuild import Rebuild
from tests.archive.faults.plants._edit import edit, line


def plant() -> None:
    edit(
        Rebuild,
        "__enter__",
        (line("self.at[place] = sink.open()", 2), line("self.at[place] = (at := sink.open()) + (at > 0)", 2)),
    )
