"""What a partition holds ahead of its task has an end, in records and in bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import pytest

from eventlog.envelope import RawRecord, Record
from eventlog.runtime import runner
from eventlog.runtime.runner import Runner


class Task:
    """Waits with its first batch until it is let go."""

    role, topic, partition, batch_records_max = "r", "t", 0, 10

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.seen: list[int] = []

    async def open(self) -> int:
        return 0

    async def process(self, records: Sequence[RawRecord]) -> Mapping[str, int]:
        await self.go.wait()
        self.seen += [record.offset for record in records]
        return {}

    async def close(self) -> None: ...


class Feed:
    paused = False

    def __init__(self) -> None:
        self.started: list[int] = []

    async def start_at(self, offset: int) -> None:
        self.started.append(offset)

    def stop(self) -> None: ...

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    async def before_log(self, _: int) -> AsyncIterator[list[Record]]:
        for records in ():
            yield records

    def end(self) -> int | None:
        return None


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not done():  # noqa: ASYNC110 - turns of the loop are what is waited for
            await asyncio.sleep(0)


def ten(offset: int, value: bytes | None = None) -> list[RawRecord]:
    return [Record("t", 0, offset + i, 0, b"k", value, ()) for i in range(10)]


@pytest.mark.asyncio
@pytest.mark.parametrize(("size", "fetches"), [(runner.BUFFER_BYTES_MAX // 20 + 1, 2), (None, 2000)])
async def test_a_full_buffer_pauses_its_partition_until_there_is_room(size: int | None, fetches: int) -> None:
    value = None if size is None else bytes(size)
    task, feed = Task(), Feed()
    run = Runner(task, feed)
    try:
        await until(lambda: run.ready)
        offset = 0
        for number in range(fetches):
            assert not feed.paused, number
            run.offer(ten(offset, value), offset)
            offset += 10
        assert feed.paused
        task.go.set()
        await until(lambda: len(task.seen) == offset)
        await until(lambda: not feed.paused)
        assert task.seen == list(range(offset))
        assert (run._buffered, run._bytes) == (0, 0)
    finally:
        await run.stop()


@pytest.mark.asyncio
@pytest.mark.parametrize(("name", "most"), [("buffer_bytes_max", 100), ("buffer_records_max", 10)])
async def test_a_task_may_take_less_at_a_time(name: str, most: int) -> None:
    task, feed = Task(), Feed()
    setattr(task, name, most)
    run = Runner(task, feed)
    try:
        await until(lambda: run.ready)
        run.offer(ten(0, bytes(10)), 0)
        assert feed.paused
        task.go.set()
        await until(lambda: not feed.paused)
        assert task.seen == list(range(10))
    finally:
        await run.stop()


@pytest.mark.asyncio
async def test_a_delivery_that_was_lost_on_its_way_is_read_again() -> None:
    task, feed = Task(), Feed()
    task.go.set()
    run = Runner(task, feed)
    try:
        await until(lambda: run.ready)
        run.offer(ten(0), 0)
        await until(lambda: len(task.seen) == 10)
        run.offer(ten(20), 20)
        await until(lambda: feed.started == [0, 0])
        run.offer(ten(0), 0)
        run.offer(ten(10), 10)
        await until(lambda: len(task.seen) == 30)
        assert task.seen == [*range(10), *range(20)]
    finally:
        await run.stop()
