"""Partition tasks whose output is a read model: rows and position in one transaction of the store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from eventlog.codec import Codec
from eventlog.envelope import RawRecord
from eventlog.roles import Projection
from eventlog.rows import OutRow
from eventlog.runtime.task import with_schemas
from eventlog.sink import Store
from eventlog.steps import ProjectStep
from eventlog.topics import Topic

BATCH_RECORDS_MAX = 2000
"""Of one commit: small enough that a Redis script blocks others for milliseconds only."""

AppendDead = Callable[[str, int, Sequence[OutRow]], Awaitable[None]]
"""Append dead letters to (topic, partition) and wait until they are kept."""


class StoreTask:
    """Projects one partition of one topic into one read model."""

    batch_records_max = BATCH_RECORDS_MAX

    def __init__(
        self, projection: Projection, source: Topic, partition: int, store: Store, codec: Codec, append_dead: AppendDead
    ) -> None:
        self.role = projection.name
        self.topic = source.name
        self.partition = partition
        self._codec = codec
        self._append_dead = append_dead
        self._step = ProjectStep(projection, source, codec)
        self._sink = store.sink(projection.model, source.name, partition)

    async def open(self) -> int:
        return await asyncio.to_thread(self._sink.open)

    async def process(self, records: Sequence[RawRecord]) -> Mapping[str, int]:
        step = self._step
        done = await with_schemas(self._codec, lambda: step.run(records), records)
        for topic, rows in done.rows.items():
            # Before the commit: one that is written twice replaces itself, one that is lost would be gone.
            await self._append_dead(topic, self.partition, rows)
        await asyncio.to_thread(self._sink.apply, done.changes, done.next_offset)
        return done.counts

    async def close(self) -> None:
        await asyncio.to_thread(self._sink.close)
