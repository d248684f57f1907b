"""A processor's position is committed in a transaction of its own, before the outputs."""

from __future__ import annotations

from eventlog.runtime.kafka_task import DecideTask, EnrichTask
from tests.faults.plants._edit import edit

BEGIN = "    await self._producer.begin_transaction()\n"


def plant() -> None:
    for task in (DecideTask, EnrichTask):
        edit(task, "process", (BEGIN, f"{BEGIN}    await self._commit([], done.next_offset)\n{BEGIN}"))
