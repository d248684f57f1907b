"""Kafka forgets what a worker has not read yet: the archive has it, or the partition waits; nothing is jumped over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog

from eventlog.reader import LogReader
from eventlog.runtime.feed import PartitionFeed
from tests.archive.conftest import Archive
from tests.archive.live import cut, live, until
from tests.runtime.test_seeks import Noting


class From(Noting):
    """Goes on after what it has seen, or from a given offset."""

    def __init__(self, topic: str, partition: int, first: int = 0) -> None:
        super().__init__(topic, partition)
        self.first = first

    async def open(self) -> int:
        return self.seen[-1] + 1 if self.seen else self.first


def offsets(archive: Archive) -> list[int]:
    return [record.offset for record in archive.log()]


def test_a_worker_that_was_overtaken_reads_on_in_the_archive(kafka_archive: Archive) -> None:
    archive = kafka_archive
    tasks = [From(archive.topic, partition) for partition in (0, 1)]

    async def run() -> list[int]:
        archive.publish(90)
        before = offsets(archive)
        async with live(archive, tasks.__getitem__) as runner:
            await until(lambda: tasks[0].seen == before)
            await runner.hold()
            archive.publish(90)
            wanted = offsets(archive)
            archive.write(archive.log(), files=2)
            cut(archive, wanted[-1] + 1)
            archive.publish(90)
            wanted += [offset for offset in offsets(archive) if offset > wanted[-1]]
            runner.release()
            await until(lambda: tasks[0].seen[-1] == wanted[-1])
        return wanted

    assert asyncio.run(run()) == tasks[0].seen


def test_the_log_moves_on_while_a_worker_catches_up(kafka_archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it reads the archive, and between that and its first fetch."""
    archive = kafka_archive
    archive.publish(180)
    records = archive.log()
    archive.write(records[:100], files=4)
    wanted = [record.offset for record in records]
    cut(archive, wanted[30])
    tasks = [From(archive.topic, partition) for partition in (0, 1)]
    later = iter((wanted[50], wanted[80]))
    before_log = PartitionFeed.before_log

    async def overtaken(self: PartitionFeed, offset: int) -> AsyncIterator[Any]:
        cuts = later if self._tp.partition == 0 else iter(())
        async for found in before_log(self, offset):
            yield found
            for at in cuts:
                cut(archive, at)
                break
        for at in cuts:
            cut(archive, at)

    monkeypatch.setattr(PartitionFeed, "before_log", overtaken)

    async def run() -> None:
        async with live(archive, tasks.__getitem__):
            await until(lambda: tasks[0].seen[-1:] == wanted[-1:])

    asyncio.run(run())
    assert tasks[0].seen == wanted
    assert next(later, None) is None


def test_without_an_archive_the_partition_waits_and_says_so(kafka_archive: Archive) -> None:
    archive = kafka_archive
    archive.publish(90)
    records = archive.log()
    wanted = [record.offset for record in records]
    cut(archive, wanted[40])
    first = wanted[20]
    tasks = [From(archive.topic, partition, first) for partition in (0, 1)]
    tasks[1].first = 0

    async def run() -> None:
        with structlog.testing.capture_logs() as said:
            async with live(archive, tasks.__getitem__) as runner:
                lost = f"{archive.topic}:0: offsets {first} to {wanted[40] - 1} are neither in the log"
                await until(lambda: len([each for each in said if lost in str(each.get("error"))]) > 1)
                assert not tasks[0].seen
                assert not runner.ready
                archive.write(records[:50])
                await until(lambda: tasks[0].seen[-1:] == wanted[-1:])

    asyncio.run(run())
    assert tasks[0].seen == wanted[20:]


def test_a_role_that_is_new_begins_where_the_log_does(kafka_archive: Archive) -> None:
    archive = kafka_archive
    archive.publish(90)
    wanted = offsets(archive)
    cut(archive, wanted[40])
    tasks = [From(archive.topic, partition) for partition in (0, 1)]

    async def run() -> None:
        async with live(archive, tasks.__getitem__):
            await until(lambda: tasks[0].seen[-1:] == wanted[-1:])

    asyncio.run(run())
    assert tasks[0].seen == wanted[40:]


def test_what_a_topic_keeps_for_a_time_only_is_gone_then_and_that_is_said(kafka_archive: Archive) -> None:
    archive = kafka_archive
    archive.publish(90)
    wanted = offsets(archive)
    cut(archive, wanted[40])
    tasks = [From(archive.topic, 0, wanted[20]), From(archive.topic, 1)]

    async def run() -> None:
        with structlog.testing.capture_logs() as said:
            async with live(archive, tasks.__getitem__, expiring=[archive.topic]):
                await until(lambda: tasks[0].seen[-1:] == wanted[-1:])
        gone = f"{archive.topic}:0: offsets {wanted[20]} to {wanted[40] - 1} "
        assert [each for each in said if each["event"] == "expired" and each["what"].startswith(gone)]

    asyncio.run(run())
    assert tasks[0].seen == wanted[40:]


@pytest.mark.parametrize("first", [20, 35])
def test_what_expired_between_the_archive_and_the_log_is_gone_and_that_is_said(
    kafka_archive: Archive, first: int
) -> None:
    """Its position lies in the archive, or in what nobody has."""
    archive = kafka_archive
    archive.publish(90)
    records = archive.log()
    archive.write(records[:30])
    cut(archive, records[40].offset)
    wanted = [record.offset for record in records]
    tasks = [From(archive.topic, 0, records[first].offset), From(archive.topic, 1)]

    async def run() -> None:
        with structlog.testing.capture_logs() as said:
            async with live(archive, tasks.__getitem__, expiring=[archive.topic]):
                await until(lambda: tasks[0].seen[-1:] == wanted[-1:])
        begin = max(records[29].offset + 1, records[first].offset)
        gone = f"{archive.topic}:0: offsets {begin} to {wanted[40] - 1} "
        assert [each["what"].startswith(gone) for each in said if each["event"] == "expired"] == [True]

    asyncio.run(run())
    assert tasks[0].seen == wanted[first:30] + wanted[40:]


def test_a_log_that_ends_before_what_was_applied_is_waited_for(kafka_archive: Archive) -> None:
    archive = kafka_archive
    archive.publish(40)
    with LogReader(archive.settings) as reader:
        end = reader.log_bounds(archive.topic, 0)[1]
    tasks = [From(archive.topic, partition, end + 5) for partition in (0, 1)]
    tasks[1].first = 0

    async def run() -> None:
        with structlog.testing.capture_logs() as said:
            async with live(archive, tasks.__getitem__):
                shorter = lambda each: "shorter than before" in each["event"]  # noqa: E731
                await until(lambda: len([each for each in said if shorter(each)]) > 1)

    asyncio.run(run())
    assert not tasks[0].seen
