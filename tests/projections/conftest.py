"""The shop on real services: facts are appended by a plain producer, models are kept by real sinks."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from confluent_kafka import Producer

from eventlog.codec import Codec
from eventlog.envelope import Headers, command_headers, event_id
from eventlog.errors import Fenced, ServiceAway
from eventlog.provision import ensure_topics
from eventlog.reader import LogReader, to_record
from eventlog.registry import Registry
from eventlog.roles import Projection
from eventlog.runtime.kafka_task import EnrichTask
from eventlog.runtime.references import ReferenceReader
from eventlog.settings import Settings
from eventlog.steps import ProjectStep
from projections import Reader
from projections.stores import open_store
from tests.backing import until
from tests.projections.shop import CATALOG, EVENTS, RANKER, Counted
from tests.runtime.harness import wait_none_open

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
_NUMBERS = itertools.count(1)


@dataclass
class Shop:
    """What the tests do to the log and to the models."""

    settings: Settings
    codec: Codec
    reader: Reader
    versions: dict[str, int] = field(default_factory=dict)

    def name(self) -> str:
        """A shop that no other test knows."""
        return f"shop-{os.getpid()}-{next(_NUMBERS)}"

    def append(self, facts: Sequence[tuple[Counted, datetime]]) -> list[tuple[int, int]]:
        """Append facts, each under its stream's next version; their (partition, offset)."""
        producer = Producer(
            {"bootstrap.servers": self.settings.kafka, "partitioner": "murmur2_random", "linger.ms": 2, "log_level": 0}
        )
        places: list[tuple[int, int]] = [(0, 0)] * len(facts)
        for number, (fact, time) in enumerate(facts):

            def note(error: object, message: object, at: int = number) -> None:
                assert error is None
                places[at] = (message.partition(), message.offset())  # type: ignore[attr-defined]

            producer.produce(
                EVENTS.name,
                key=fact.shop,
                value=self.codec.encode(fact),
                headers=self.headers(fact, time),
                on_delivery=note,
            )
            producer.poll(0)
        assert producer.flush(30) == 0
        return places

    def headers(self, fact: Counted, time: datetime) -> Headers:
        version = self.versions[fact.shop] = self.versions.get(fact.shop, 0) + 1
        extra = [("ce_sequence", b"%d" % version)]
        return command_headers(event_id(fact.shop, version), "test", "Counted", fact.shop, time, extra=extra)

    def count(self, shop: str, item: str, quantity: str, minutes: float = 0) -> tuple[int, int]:
        """One fact, so many minutes after the start."""
        fact = Counted(shop=shop, item=item, quantity=Decimal(quantity))
        return self.append([(fact, START + timedelta(minutes=minutes))])[0]

    def apply(self, projection: Projection, batch: int = 500) -> None:
        """Bring a model to the end of the log, as its worker would."""
        with LogReader(self.settings) as log:
            keep_up(self, projection, log, batch)

    def enrich(self) -> None:
        """Bring the enriched topic to the end of the events, as its worker would."""
        asyncio.run(self._enrich())
        wait_none_open(self.settings, *(topic.name for topic in CATALOG.topics))

    async def _enrich(self) -> None:
        references = ReferenceReader((), self.settings, self.codec)
        references.start()
        with LogReader(self.settings) as log:
            for partition in range(EVENTS.partitions):
                task = EnrichTask(RANKER, partition, self.settings, self.codec, references, CATALOG)
                begin = await task.open()
                ranges = {(EVENTS.name, partition): (begin, log.bounds(EVENTS.name, partition)[1])}
                for _, messages, _ in log.batches(ranges):
                    if messages:
                        await task.process([to_record(m) for m in messages])
                await task.close()

    @contextlib.contextmanager
    def writing(self, projection: Projection, produce: Callable[[], None]) -> Iterator[None]:
        """A worker's thread that appends facts and applies them, until the block ends; then it catches up."""
        stop, failures = threading.Event(), []

        def run() -> None:
            try:
                with LogReader(self.settings) as log:
                    while not stop.is_set():
                        produce()
                        keep_up(self, projection, log, 50, stop)
            except Exception as error:
                failures.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(60)
        assert not failures, failures
        self.apply(projection)


def keep_up(
    shop: Shop, projection: Projection, log: LogReader, batch: int, stop: threading.Event | None = None
) -> None:
    """Apply what the model lacks in commits of at most `batch` records, reopening where the sink is fenced."""
    store = shop.reader.store(projection.model.name)
    for source in projection.sources:
        step = ProjectStep(projection, source, shop.codec)
        for partition in range(source.partitions):
            sink = store.sink(projection.model, source.name, partition)
            begin, end = sink.open(), log.bounds(source.name, partition)[1]
            try:
                for _, messages, _ in log.batches({(source.name, partition): (begin, end)}):
                    records = [to_record(m) for m in messages]
                    for i in range(0, len(records), batch):
                        done = step.run(records[i : i + batch])
                        sink.apply(done.changes, done.next_offset)
                        if stop is not None and stop.is_set():
                            return
            except Fenced:
                pass  # opened again, on the version that is live now, when it is this partition's turn
            finally:
                sink.close()


def _led(log: LogReader) -> bool:
    try:
        return all(log.ends(topic.name) for topic in CATALOG.topics)
    except ServiceAway:
        return False


@pytest.fixture(scope="session")
def shop(settings: Settings) -> Iterator[Shop]:
    ensure_topics(settings, CATALOG.topics)
    with LogReader(settings) as log:
        until(lambda: _led(log), "every partition of the new topics has its leader")
    with Registry(settings.registry) as registry, Reader(settings, catalog=CATALOG) as reader:
        codec = Codec(registry, CATALOG.message_types)
        for name in ("postgres", "redis"):
            store = open_store(name, settings)
            store.prepare([p.model for p in CATALOG.projections if p.model.store == name])
            store.close()
        yield Shop(settings, codec, reader)
