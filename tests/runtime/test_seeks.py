"""A partition that is closed and opened again is read on without a gap, however the fetches lie around the seek."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from aiokafka.errors import KafkaError
from confluent_kafka import Producer
from faust.types import TP

from eventlog.envelope import RawRecord
from eventlog.provision import ensure_topics
from eventlog.runtime import app as runtime
from eventlog.runtime.app import Consumer, RoleApp
from eventlog.settings import Settings
from eventlog.topics import Topic
from tests.runtime.harness import seeded

RECORDS = 3000
PARTITIONS = 2


class Noting:
    """A task that notes the offsets it gets."""

    role = "noting"
    batch_records_max = 100

    def __init__(self, topic: str, partition: int) -> None:
        self.topic, self.partition = topic, partition
        self.seen: list[int] = []

    async def open(self) -> int:
        return 0

    async def process(self, records: Sequence[RawRecord]) -> Mapping[str, int]:
        self.seen.extend(record.offset for record in records)
        return {}

    async def close(self) -> None: ...


async def read_while_opened_anew(settings: Settings, topic: str, tasks: dict[int, Noting]) -> None:
    def new_task(name: str, partition: int) -> Noting:
        return tasks.setdefault(partition, Noting(name, partition))

    app = RoleApp(f"noting-{uuid.uuid4().hex[:8]}", {topic: PARTITIONS}, new_task, settings)
    producer = Producer({"bootstrap.servers": settings.kafka, "linger.ms": 0})
    await app.start()
    rng = seeded()
    try:
        while len(app.runners) < PARTITIONS or not app.ready:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.05)
        for number in range(RECORDS):
            producer.produce(topic, value=str(number), partition=number % PARTITIONS)
            producer.poll(0)
            if number % 3 == 0:
                runner = rng.choice(list(app.runners.values()))
                await runner.hold()
                runner.release()
            await asyncio.sleep(rng.choice((0, 0.001, 0.005)))
        assert producer.flush(60) == 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(120):
                while any(task.seen[-1:] != [RECORDS // PARTITIONS - 1] for task in tasks.values()):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
    finally:
        await app.drain()
        await app.stop()
        producer.close()


def test_no_record_is_left_out_around_a_seek(settings: Settings) -> None:
    topic = f"seeks-{uuid.uuid4().hex[:8]}"
    ensure_topics(settings, [Topic(topic, partitions=PARTITIONS, dead_letters=False)])
    tasks: dict[int, Noting] = {}
    asyncio.run(read_while_opened_anew(settings, topic, tasks))
    for partition, task in tasks.items():
        wanted = set(range(RECORDS // PARTITIONS))
        assert not (left_out := wanted - set(task.seen)), f"{partition}: {len(left_out)}, first {sorted(left_out)[:5]}"
        assert task.seen == sorted(task.seen), f"{partition} was read out of order"
        assert len(task.seen) == len(wanted)


def test_what_was_on_its_way_does_not_hide_what_is_read_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The partition is opened where it was before, while a fetch that lies behind that waits to be handed over."""
    topic = f"seeks-{uuid.uuid4().hex[:8]}"
    ensure_topics(settings, [Topic(topic, partitions=1, dead_letters=False)])
    producer = Producer({"bootstrap.servers": settings.kafka})
    for number in range(RECORDS):
        producer.produce(topic, value=str(number))
    assert producer.flush(60) == 0
    producer.close()
    monkeypatch.setattr(runtime, "FETCH_RECORDS_MAX", 50)
    feed, as_message = RoleApp._feed, Consumer._as_message
    task, fetched = Noting(topic, 0), []

    def noted(tp: TP, *args: Any) -> Any:
        fetched.append(tp)
        return as_message(tp, *args)

    async def run() -> None:
        taken = asyncio.Event()

        async def late(app: RoleApp, stream: Any) -> None:
            await taken.wait()
            await feed(app, stream)

        monkeypatch.setattr(RoleApp, "_feed", late)
        monkeypatch.setattr(Consumer, "_as_message", staticmethod(noted))
        app = RoleApp(f"noting-{uuid.uuid4().hex[:8]}", {topic: 1}, lambda *_: task, settings)
        await app.start()
        try:
            async with asyncio.timeout(120):
                # Every place of the stream is taken, and one more waits for its place.
                while len(fetched) <= app.conf.stream_buffer_maxsize:  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.05)
                before = len(fetched)
                runner = app.runners[TP(topic, 0)]
                await runner.hold()
                runner.release()
                await asyncio.sleep(0.5)
                assert len(fetched) == before
                taken.set()
                while task.seen[-1:] != [RECORDS - 1]:  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.05)
        finally:
            taken.set()
            await app.drain()
            await app.stop()

    asyncio.run(run())
    assert task.seen == list(range(RECORDS))


@pytest.mark.parametrize("leaderless", [False, True])
def test_partitions_that_are_opened_together_ask_together_where_the_log_begins(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, *, leaderless: bool
) -> None:
    """An answer comes behind a fetch that waits for records: one by one, hundreds of them took a quarter minute."""
    topic, many = f"seeks-{uuid.uuid4().hex[:8]}", 60
    ensure_topics(settings, [Topic(topic, partitions=many, dead_letters=False)])
    earliest_offsets, asked = Consumer.earliest_offsets, []

    async def counted(self: Consumer, *partitions: TP) -> Mapping[TP, int]:
        asked.append(set(partitions))
        if len(partitions) > 1 and leaderless:
            raise KafkaError("one of them has no leader")
        return await earliest_offsets(self, *partitions)

    monkeypatch.setattr(Consumer, "earliest_offsets", counted)

    async def run() -> None:
        app = RoleApp(f"noting-{uuid.uuid4().hex[:8]}", {topic: many}, Noting, settings)
        await app.start()
        try:
            async with asyncio.timeout(120):
                while len(app.runners) < many or not app.ready:  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.05)
        finally:
            await app.drain()
            await app.stop()

    asyncio.run(run())
    assert set().union(*asked) == {TP(topic, partition) for partition in range(many)}
    assert leaderless or len(asked) < many / 4
