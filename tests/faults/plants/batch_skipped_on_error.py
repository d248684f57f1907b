"""A partition that failed goes on behind the batch that it failed with."""

from __future__ import annotations

from eventlog.runtime.runner import Runner
from tests.faults.plants._edit import edit

ASKS = """\
    self.next = await self.task.open()
    await self._catch_up()
"""
FORGETS = """\
    self._buffer.clear()
    self._buffered = self._bytes = 0
    self._fetched = self.next
"""
GOES_ON = """\
    opened = await self.task.open()
    self.next, self._fetched = max(self.next, opened), max(self._fetched, opened)
"""


def plant() -> None:
    edit(Runner, "_open", (ASKS, GOES_ON), (FORGETS, ""))
