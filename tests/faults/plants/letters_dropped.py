"""A projection passes over what it cannot read, and tells nobody."""

from __future__ import annotations

from eventlog.runtime.store_task import StoreTask
from tests.faults.plants._edit import edit


def plant() -> None:
    edit(StoreTask, "process", ("await self._append_dead(topic, self.partition, rows)", "del topic, rows"))
