"""A projection that opens again goes on from where it was itself, where the store is behind that."""

from __future__ import annotations

from eventlog.runtime.store_task import StoreTask
from tests.faults.plants._edit import edit


def plant() -> None:
    opened = "await asyncio.to_thread(self._sink.open)"
    edit(
        StoreTask,
        "open",
        (f"return {opened}", f"self._done = max(getattr(self, '_done', 0), {opened})\n    return self._done"),
    )
    edit(StoreTask, "process", ("return done.counts", "self._done = done.next_offset\n    return done.counts"))
