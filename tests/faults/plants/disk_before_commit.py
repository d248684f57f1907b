"""State is written to disk before its transaction is committed."""

from __future__ import annotations

from eventlog.runtime.kafka_task import KafkaTask
from tests.faults.plants._edit import edit


def plant() -> None:
    commit = "    await self._producer.commit_transaction()\n"
    write = "        await asyncio.to_thread(self._store.write, rows, next_offset, reached)\n"
    edit(KafkaTask, "_commit", (commit, ""), (write, write + commit))
