"""What a batch did to its streams is not written to the changelog; the position is."""

from __future__ import annotations

from typing import Any

from eventlog.runtime.kafka_task import KafkaTask


def plant() -> None:
    task: Any = KafkaTask
    commit = task._commit

    async def forgetful(self: Any, _: Any, next_offset: int) -> None:
        await commit(self, [], next_offset)

    task._commit = forgetful
