"""What is for a saga is brought to its inbox in one transaction, and the position is committed in the next."""

from __future__ import annotations

from eventlog.runtime.saga_task import RelayTask
from tests.faults.plants._edit import edit

COMMIT = "    await self._commit([], done.next_offset)\n"


def plant() -> None:
    alone = "    await self._producer.commit_transaction()\n    await self._producer.begin_transaction()\n"
    edit(RelayTask, "process", (COMMIT, alone + COMMIT))
