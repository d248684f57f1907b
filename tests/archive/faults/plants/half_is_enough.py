"""A bootstrap that was killed goes on behind what it had written."""

from __future__ import annotations

from eventlog.bootstrap import whole
from tests.archive.faults.plants._edit import edit, line


def plant() -> None:
    edit(whole, "_topic", (line("_delete(admin, wanted.name)", 2), ""))
    pause = line("time.sleep(0.2)", 3)
    edit(whole, "_create", (" or time.monotonic() > deadline", ""), (pause, line("return", 3)))
