"""A bootstrap leaves out what nobody sees, and does not look at the offsets."""

from __future__ import annotations

from eventlog.bootstrap import whole
from eventlog.bootstrap.refill import Refill
from tests.archive.faults.plants._edit import edit, line


def plant() -> None:
    settle = line("self._settle()")
    edit(Refill, "_fill", (settle + line("done = self._done"), line("self._done.end = until") + line("return")))
    edit(Refill, "_produce", ("message.offset() != expected", "False"))
    edit(whole, "_require_same", ("if not wanted.archived.get(done.partition):", "if True:"))
