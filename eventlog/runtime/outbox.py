"""Rows on their way to partitions, put into the producer's batches while they are made."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from eventlog.partition import partition_of
from eventlog.rows import Outputs, OutRow
from eventlog.topics import Topic

BATCH_BYTES = 1 << 20


class Batch(BatchBuilder):  # type: ignore[misc]  # it has no types
    """Takes rows by the hundred; one by one, most of the time would go into being asked."""

    def fill(self, rows: Sequence[OutRow], first: int) -> int:
        """Append the rows from `first` on until one does not fit, which is never the batch's first; the next index."""
        append, now, at = self._builder.append, int(time.time() * 1000), self.record_count()
        for index in range(first, len(rows)):
            key, value, headers = rows[index]
            if append(at, now, key, value, headers) is None:
                self.close()
                break
            at += 1
        else:
            index = len(rows)
        self._relative_offset = at
        return index


class Outbox:
    """Rows on their way to partitions, in as few atomic batches as they fit in."""

    def __init__(self) -> None:
        self._batches: dict[tuple[str, int], list[tuple[int, Batch]]] = {}
        """By topic and partition: index of its first row among all of the partition's, and the batch."""

    def take(self, topic: str, partition: int, rows: Sequence[OutRow]) -> None:
        batches = self._batches.setdefault((topic, partition), [])
        next_row = 0
        while next_row < len(rows):
            if not batches or batches[-1][1].closed():
                first = batches[-1][0] + batches[-1][1].record_count() if batches else 0
                batches.append((first, Batch(BATCH_BYTES, 0, is_transactional=True)))
            next_row = batches[-1][1].fill(rows, next_row)

    def take_rows(self, rows_by_topic: dict[str, list[OutRow]], partition: int) -> None:
        """Take all rows out of the lists, to be appended to this partition."""
        for topic, rows in rows_by_topic.items():
            self.take(topic, partition, rows)
            rows.clear()

    def take_all(self, done: Outputs, partition: int, topics: Mapping[str, Topic]) -> None:
        """Take what is for this partition, and what goes where its key belongs; `topics` by name are for those."""
        self.take_rows(done.rows, partition)
        keyed: list[tuple[str, Iterable[OutRow]]] = [(topic, rows.values()) for topic, rows in done.keyed.items()]
        for topic, rows in [*keyed, *done.spread.items()]:
            by_partition: dict[int, list[OutRow]] = {}
            for row in rows:
                by_partition.setdefault(partition_of(row[0] or b"", topics[topic].partitions), []).append(row)
            for number, placed in by_partition.items():
                self.take(topic, number, placed)

    async def send(self, producer: AIOKafkaProducer) -> dict[str, list[tuple[int, asyncio.Future[Any]]]]:
        """Hand all batches to the producer; by topic, (index of its first row, future of its offset) of each."""
        sent: dict[str, list[tuple[int, asyncio.Future[Any]]]] = {}
        for (topic, partition), batches in self._batches.items():
            for first, batch in batches:
                batch.close()
                future = await producer.send_batch(batch, topic, partition=partition)
                sent.setdefault(topic, []).append((first, future))
        self._batches.clear()
        return sent
