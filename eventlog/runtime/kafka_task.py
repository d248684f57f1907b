"""Partition tasks whose output is in Kafka: outputs, state changelog and position in one transaction."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.structs import TopicPartition

from eventlog.codec import Codec
from eventlog.envelope import RawRecord
from eventlog.quiescence import Pauses
from eventlog.reader import LogReader
from eventlog.roles import Catalog, Decider, Effect, Enricher
from eventlog.rows import Flush, Outputs, OutRow
from eventlog.runtime.outbox import BATCH_BYTES, Outbox
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
BATCH_RECORDS_MAX = 4000
"""Of one transaction: larger ones gain little, and take longer to do again."""
CLOSE_TIMEOUT_S = 5
T = TypeVar("T")
OUTPUTS = ("events", "rejections", "outcomes")
"""Of a decider, beside its dead letters and its changelog."""


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
        self._pauses = Pauses.of(settings)
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

    async def _run(self, run: Callable[[Flush], T], records: Sequence[RawRecord]) -> tuple[T, Outbox]:
        """What a step makes of the records, and its rows, put into batches while they are made."""

        def attempt() -> tuple[T, Outbox]:
            outbox = Outbox()
            return run(lambda rows: outbox.take_rows(rows, self.partition)), outbox

        return await with_schemas(self._codec, attempt, records)

    async def _begin(self, outbox: Outbox) -> dict[str, list[tuple[int, asyncio.Future[Any]]]]:
        """Begin a transaction with these rows; see `Outbox.send`. None is begun while all processors pause."""
        assert self._producer is not None
        if left_s := self._pauses.left_s:
            await asyncio.sleep(left_s)
        await self._producer.begin_transaction()
        return await outbox.send(self._producer)

    async def _begin_with(self, done: Outputs, topics: Mapping[str, Topic]) -> None:
        """Begin a transaction with all that a step has made."""
        outbox = Outbox()
        outbox.take_all(done, self.partition, topics)
        await self._begin(outbox)

    async def _commit(self, changelog: list[OutRow], next_offset: int) -> None:
        assert self._producer is not None
        changelog.append((POSITION_KEY, b"%d" % next_offset, []))
        outbox = Outbox()
        outbox.take(self._changelog, self._changelog_partition, changelog)
        sent = (await outbox.send(self._producer))[self._changelog]
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
        done, outbox = await self._run(lambda flush: step.run(records, flush), records)
        sent = await self._begin(outbox)
        # Outcomes carry the events' offsets, so that a repeated command is answered with the same position.
        placed = [(first, (await future).offset) for first, future in sent.get(step.events, ())]
        answers, changelog = step.late(done, placed)
        outbox.take(step.outcomes, self.partition, answers)
        await outbox.send(self._producer)
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
        done, outbox = await self._run(lambda flush: step.run(records, flush), records)
        outbox.take_all(done, self.partition, self._topics)
        await self._begin(outbox)
        await self._commit(step.changelog(done), done.next_offset)
        step.commit(done)  # only now: an aborted batch leaves no trace
        return done.counts


def _state_store(role: Decider | Enricher, settings: Settings) -> StateKind:
    return chosen(role.name, role.state_store, settings.state_store)
