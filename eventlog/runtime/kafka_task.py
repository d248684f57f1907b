"""Partition tasks whose output is in Kafka: outputs, state changelog and position in one transaction."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import TopicPartition

from eventlog.codec import Codec
from eventlog.envelope import RawRecord
from eventlog.partition import partition_of
from eventlog.reader import LogReader
from eventlog.roles import Catalog, Decider, Effect, Enricher
from eventlog.rows import Outputs, OutRow
from eventlog.runtime.references import ReferenceReader
from eventlog.runtime.rocks import FORMAT, Meta, RocksStore
from eventlog.runtime.task import with_schemas
from eventlog.sagas import Relay, Saga
from eventlog.settings import Settings
from eventlog.state import StateKind, chosen
from eventlog.steps import DecideStep, EnrichStep
from eventlog.topics import Topic

POSITION_KEY = b"\xff\xffposition"
"""Of the changelog record that holds the next input offset; no stream id, because it is not UTF-8."""
TRANSACTION_TIMEOUT_MS = 10_000
BATCH_BYTES = 1 << 20
BATCH_RECORDS_MAX = 4000
"""Of one transaction: larger ones gain little, and take longer to do again."""
CLOSE_TIMEOUT_S = 5
OUTPUTS = ("events", "rejections", "outcomes")
"""Of a decider, beside its dead letters and its changelog."""


class Batch(BatchBuilder):  # type: ignore[misc]  # it has no types
    """Takes rows by the thousand; one by one, most of the time would go into being asked."""

    def fill(self, rows: Sequence[OutRow], first: int) -> int:
        """Append the rows from `first` on until one does not fit, which is never the first; how many that were."""
        append, now = self._builder.append, int(time.time() * 1000)
        for index in range(first, len(rows)):
            key, value, headers = rows[index]
            if append(index - first, now, key, value, headers) is None:
                break
        else:
            index = len(rows)
        self._relative_offset = index - first
        self.close()
        return self._relative_offset


class Step(Protocol):
    """What the kinds of step have in common."""

    def restore(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None: ...


class KafkaTask:
    """The part that all roles share whose output is in Kafka: fencing, recovery and the transaction.

    The position is kept twice in each transaction: in the changelog, which is what recovery reads and
    which never expires, and as the group's committed offset, which is what lag tools read.
    """

    batch_records_max = BATCH_RECORDS_MAX

    def __init__(
        self,
        role: Decider | Enricher | Effect | Relay | Saga,
        source: Topic,
        partition: int,
        settings: Settings,
        codec: Codec,
        state_store: StateKind = "memory",
    ) -> None:
        self.role = role.name
        self.topic = source.name
        self.partition = partition
        self._changelog = role.changelog.name
        self._changelog_partition = partition
        self._settings = settings
        self._codec = codec
        self._producer: AIOKafkaProducer | None = None
        self._on_disk = state_store == "rocksdb"
        self._slotted = isinstance(role, Decider)
        self._store: RocksStore | None = None

    def _new_step(self) -> Step:
        raise NotImplementedError

    async def open(self) -> int:
        await self.close()
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._settings.kafka,
            transactional_id=f"{self.role}-{self.topic}-{self.partition}",
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            max_batch_size=BATCH_BYTES,
            max_request_size=16 * 1024 * 1024,  # a dead letter is as large as what the topic takes
            linger_ms=0,  # batches are made here
            acks="all",
            # The broker answers "not yet" while it writes the last transaction's markers; its default of
            # 100 ms between attempts would be most of a commit.
            retry_backoff_ms=2,
            request_timeout_ms=10_000,
        )
        await self._producer.start()  # fences the previous owner and aborts what it left open
        await self._abort_leftovers(self._producer)
        return await asyncio.to_thread(self._recover)

    def _outputs(self) -> Iterable[TopicPartition]:
        """Every partition that this task may write to."""
        raise NotImplementedError

    async def _abort_leftovers(self, producer: AIOKafkaProducer) -> None:
        """Abort a transaction of every partition that may hold records of one that was never ended there.

        A broker that was paused can note a transaction as aborted without writing so into its partitions. Its
        records then wait there, hidden; the next commit under this transactional id, which is the same producer
        to the broker, would bring them to light beside those decided anew.
        """
        await producer.begin_transaction()
        for output in self._outputs():
            producer._txn_manager.maybe_add_partition_to_txn(output)  # noqa: SLF001 - else only a record can add it
        # Partitions are added before the group, so that all of them are when this is done.
        await producer.send_offsets_to_transaction({TopicPartition(self.topic, self.partition): 0}, self.role)
        await producer.abort_transaction()

    def _recover(self) -> int:
        """Read the changelog: into the step, or its tail into the state on disk; the next input offset."""
        with LogReader(self._settings, group=self.role) as reader:
            place = (self._changelog, self._changelog_partition)
            first, end = reader.bounds(*place)
            begin, position = first, 0
            if self._on_disk:
                self._store = self._new_store(reader.topic_id(self._changelog))
                begin, position = self._store.open(first, end)
            step, rebuilt = self._new_step(), begin == first
            for _, messages, reached in reader.batches({place: (begin, end)}):
                rows = []
                for message in messages:
                    key, value = message.key(), message.value()
                    if key == POSITION_KEY:
                        position = int(value or 0)
                    else:
                        rows.append((key, value))
                if self._store:
                    self._store.write(rows, position, reached, wal=not rebuilt)
                else:
                    step.restore(rows)  # type: ignore[arg-type]
            if self._store and rebuilt:
                self._store.flush()
        return position

    def _new_store(self, topic_id: str) -> RocksStore:
        settings = self._settings
        return RocksStore(
            settings.home / "state" / settings.worker_name / self.role / str(self.partition),
            Meta(FORMAT, self.role, self._changelog, topic_id, self.partition),
            slotted=self._slotted,
            cache_bytes=settings.state_cache_mb << 20,
        )

    async def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            # It may be fenced, or its broker away: then nothing is left to save.
            with contextlib.suppress(Exception):
                await asyncio.wait_for(producer.stop(), CLOSE_TIMEOUT_S)
        store, self._store = self._store, None
        if store is not None:
            await asyncio.to_thread(store.close)

    async def _append(
        self, topic: str, rows: Sequence[OutRow], partition: int
    ) -> list[tuple[int, asyncio.Future[Any]]]:
        """Append rows as few atomic batches; (index of its first row, future of its offset) each."""
        assert self._producer is not None
        sent: list[tuple[int, asyncio.Future[Any]]] = []
        first = 0
        while first < len(rows):
            batch = Batch(BATCH_BYTES, 0, is_transactional=True)
            taken = batch.fill(rows, first)
            sent.append((first, await self._producer.send_batch(batch, topic, partition=partition)))
            first += taken
        return sent

    async def _append_outputs(self, done: Outputs, topics: Mapping[str, Topic]) -> dict[str, Any]:
        appended = {topic: await self._append(topic, rows, self.partition) for topic, rows in done.rows.items()}
        placed: list[tuple[str, Iterable[OutRow]]] = [(topic, rows.values()) for topic, rows in done.keyed.items()]
        for topic, rows in [*placed, *done.spread.items()]:
            by_partition: dict[int, list[OutRow]] = {}
            for row in rows:
                number = partition_of(row[0] or b"", topics[topic].partitions)
                by_partition.setdefault(number, []).append(row)
            for number, partitioned in by_partition.items():
                await self._append(topic, partitioned, number)
        return appended

    async def _commit(self, changelog: list[OutRow], next_offset: int) -> None:
        assert self._producer is not None
        changelog.append((POSITION_KEY, b"%d" % next_offset, []))
        sent = await self._append(self._changelog, changelog, self._changelog_partition)
        source = TopicPartition(self.topic, self.partition)
        await self._producer.send_offsets_to_transaction({source: next_offset}, self.role)
        await self._producer.commit_transaction()
        if self._store is not None:
            # Only now, so that the disk is never ahead of the log. A crash in between leaves it behind,
            # which recovery makes up for from the offset that is stored with the rows.
            first, appended = sent[-1]
            reached = (await appended).offset + len(changelog) - first
            rows = [(key, value) for key, value, _ in changelog[:-1]]
            await asyncio.to_thread(self._store.write, rows, next_offset, reached)


class DecideTask(KafkaTask):
    """Decides one partition of a domain's commands."""

    _step: DecideStep

    def __init__(self, decider: Decider, partition: int, settings: Settings, codec: Codec) -> None:
        super().__init__(decider, decider.source, partition, settings, codec, _state_store(decider, settings))
        self._decider = decider

    def _outputs(self) -> Iterable[TopicPartition]:
        domain = self._decider.domain
        written = (*(domain.topic(kind).name for kind in OUTPUTS), self._decider.source.dead.name, self._changelog)
        return [TopicPartition(name, self.partition) for name in written]

    def _new_step(self) -> Step:
        self._step = DecideStep(self._decider, self._codec, self._settings.code_version, self._store)
        return self._step

    async def process(self, records: Sequence[RawRecord]) -> Mapping[str, int]:
        assert self._producer is not None
        step = self._step
        if self._store is not None:
            # Off the event loop, which heartbeats and the other partitions need.
            await asyncio.to_thread(step.recall, {record.key for record in records if record.key})
        done = await with_schemas(self._codec, lambda: step.run(records), records)
        await self._producer.begin_transaction()
        appended = await self._append_outputs(done, {})
        # Outcomes carry the events' offsets, so that a repeated command is answered with the same position.
        placed = [(first, (await sent).offset) for first, sent in appended.get(step.events, ())]
        answers, changelog = step.late(done, placed)
        if answers:
            await self._append(step.outcomes, answers, self.partition)
        await self._commit(changelog, done.next_offset)
        step.commit(done)  # only now: an aborted batch leaves no trace
        return done.counts


class EnrichTask(KafkaTask):
    """Enriches one partition of a domain's events."""

    _step: EnrichStep

    def __init__(
        self,
        enricher: Enricher,
        partition: int,
        settings: Settings,
        codec: Codec,
        references: ReferenceReader,
        catalog: Catalog,
    ) -> None:
        super().__init__(enricher, enricher.source, partition, settings, codec, _state_store(enricher, settings))
        self._enricher = enricher
        self._references = references
        self._topics = {topic.name: topic for topic in catalog.topics}

    def _outputs(self) -> Iterable[TopicPartition]:
        source = self._enricher.source
        written = (self._enricher.domain.topic("enriched").name, source.dead.name, self._changelog)
        own = [TopicPartition(name, self.partition) for name in written]
        return own + [TopicPartition(t.name, p) for t in self._enricher.also for p in range(t.partitions)]

    def _new_step(self) -> Step:
        build = self._settings.code_version
        self._step = EnrichStep(self._enricher, self._codec, self._references.tables, build, self._store)
        return self._step

    async def open(self) -> int:
        position: int = await super().open()
        await asyncio.to_thread(self._references.wait_whole)  # a fact enriched without them would stay wrong
        return position

    async def process(self, records: Sequence[RawRecord]) -> Mapping[str, int]:
        assert self._producer is not None
        step = self._step
        if self._store is not None:
            # Off the event loop, which heartbeats and the other partitions need.
            await asyncio.to_thread(step.recall, {record.key for record in records if record.key})
        done = await with_schemas(self._codec, lambda: step.run(records), records)
        await self._producer.begin_transaction()
        await self._append_outputs(done, self._topics)
        await self._commit(step.changelog(done), done.next_offset)
        step.commit(done)  # only now: an aborted batch leaves no trace
        return done.counts


def _state_store(role: Decider | Enricher, settings: Settings) -> StateKind:
    return chosen(role.name, role.state_store, settings.state_store)
