"""A processor's position is committed in a transaction of its own, before the outputs."""

from __future__ import annotations

from eventlog.runtime.kafka_task import DecideTask, EnrichTask
from tests.faults.plants._edit import edit

ALONE = "    await self._producer.begin_transaction()\n    await self._commit([], done.next_offset)\n"


def plant() -> None:
    for task, begin in (
        (DecideTask, "    sent = await self._begin(outbox)\n"),
        (EnrichTask, "    await self._begin(outbox)\n"),
    ):
        edit(task, "process", (begin, ALONE + begin))
