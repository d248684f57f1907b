"""What an archiver's task commits of one partition: all that was read, also where nothing but markers comes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import structlog
from confluent_kafka import Producer

from eventlog.archive.objects import Objects
from eventlog.archive.table import Table
from eventlog.errors import Fenced, ServiceAway
from eventlog.reader import LogReader
from eventlog.registry import Registry
from eventlog.roles import Archiver
from eventlog.runtime.archive_task import Archive as Shared
from eventlog.runtime.archive_task import ArchiveTask
from eventlog.topics import Topic
from eventlog.upkeep.verify import NO_FILE, verify
from tests.archive.conftest import Archive
from tests.archive.live import cut, live, until
from tests.runtime.harness import wait_none_open


@pytest.fixture
def shared(kafka_archive: Archive) -> Iterator[Shared]:
    kafka_archive.table.create()
    settings = kafka_archive.settings.model_copy(update={"archive_age_s": 0.5})
    role = Archiver((Topic(kafka_archive.topic, (), 2, dead_letters=False),))
    with Registry(settings.registry) as registry:
        yield Shared(role, settings, registry)


def tasks_of(shared: Shared, archive: Archive) -> list[ArchiveTask]:
    source = Topic(archive.topic, (), 2, dead_letters=False)
    return [ArchiveTask(shared, source, partition) for partition in (0, 1)]


def log_end(archive: Archive) -> int:
    with LogReader(archive.settings) as reader:
        return reader.log_bounds(archive.topic, 0)[1]


def abort(archive: Archive, count: int) -> None:
    """Records of a transaction that is aborted."""
    producer = Producer(
        {"bootstrap.servers": archive.settings.kafka, "transactional.id": f"{archive.topic}-abort", "log_level": 0}
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    for _ in range(count):
        producer.produce(archive.topic, value=b"never", partition=0)
    producer.flush(30)
    producer.abort_transaction(30)
    wait_none_open(archive.settings, archive.topic)


def test_what_is_archived_reaches_up_to_the_end_of_the_log(kafka_archive: Archive, shared: Shared) -> None:
    """Behind the last record is a marker, and Kafka may be made to forget it."""
    archive = kafka_archive

    async def archived() -> None:
        async with live(archive, tasks_of(shared, archive).__getitem__):
            # Asked each time: the last marker may come after the producer's commit has returned.
            await until(lambda: archive.table.next_offset(0) == log_end(archive))

    archive.publish(20)
    asyncio.run(archived())
    first = archive.segments()
    assert [segment.records for segment in first] == [20], "in the file of its records"
    abort(archive, 5)
    asyncio.run(archived())
    assert [segment.records for segment in archive.segments()] == [20, 0], "in one of its own, where none follows"
    records, end = archive.log(), log_end(archive)
    cut(archive, -1)
    with LogReader(archive.settings) as reader:
        assert reader.log_bounds(archive.topic, 0) == (end, end)
        assert reader.bounds(archive.topic, 0) == (0, end)
        assert not verify(archive.objects, reader, archive.topic, 0).faults
    assert archive.read(0, end) == records
    archive.publish(40)
    records += archive.log()
    asyncio.run(archived())
    with LogReader(archive.settings) as reader:
        assert not verify(archive.objects, reader, archive.topic, 0).faults
    assert archive.read(0, log_end(archive)) == records


def test_a_partition_at_rest_is_committed_no_more(kafka_archive: Archive, shared: Shared) -> None:
    archive = kafka_archive
    archive.publish(20)
    tasks = tasks_of(shared, archive)
    looks = iter(range(6))
    done = threading.Event()
    read_to = tasks[0]._sink.read_to

    def noted(end: int) -> None:
        read_to(end)
        if archive.segments() and next(looks, None) is None:
            done.set()

    tasks[0]._sink.read_to = noted  # type: ignore[method-assign]

    async def run() -> None:
        async with live(archive, tasks.__getitem__):
            await until(done.is_set)

    asyncio.run(run())
    assert [segment.records for segment in archive.segments()] == [20]


def test_a_commit_whose_answer_was_lost_is_found_though_more_was_read(
    kafka_archive: Archive, shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is tried again is another file then, which is refused, and the partition is quiet: no record wakes it."""
    archive = kafka_archive
    archive.publish(20)
    tasks = tasks_of(shared, archive)
    append, lost = Table.append, threading.Event()

    def silent(self: Table, *arguments: object) -> None:
        append(self, *arguments)  # type: ignore[arg-type]
        if not lost.is_set():
            abort(archive, 5)
            lost.set()
            raise OSError("the answer was lost")

    monkeypatch.setattr(Table, "append", silent)

    async def run() -> None:
        async with live(archive, tasks.__getitem__):
            await until(lambda: lost.is_set() and archive.table.next_offset(0) == log_end(archive))

    asyncio.run(run())
    assert archive.read(0, log_end(archive)) == archive.log()
    assert not verify(archive.objects, None, archive.topic, 0).faults


def test_a_commit_under_way_is_not_overtaken_by_who_opens_again(
    kafka_archive: Archive, shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = kafka_archive
    archive.publish(20)
    (task, _), append = tasks_of(shared, archive), Table.append
    begun, go = threading.Event(), threading.Event()

    def slow(self: Table, *arguments: object) -> None:
        begun.set()
        go.wait(30)
        append(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Table, "append", slow)

    async def run() -> int:
        assert await task.open() == 0
        await task.process(archive.log())
        task.pace.read_to = lambda: log_end(archive)
        await until(begun.is_set)
        again = asyncio.create_task(task.open())
        await asyncio.sleep(0.5)
        assert not again.done()
        go.set()
        opened = await again
        await task.close()
        return opened

    assert asyncio.run(run()) == archive.table.next_offset(0) == log_end(archive)


@pytest.mark.parametrize("failure", [Fenced, ServiceAway])
def test_who_closes_while_it_opens_again_commits_nothing(
    kafka_archive: Archive, shared: Shared, monkeypatch: pytest.MonkeyPatch, failure: type[Exception]
) -> None:
    """Its commit failed, the position is another's by now, and the partition moves while it is being opened again."""
    archive = kafka_archive
    archive.publish(40)
    records = archive.log()
    (task, _), next_offset, put = tasks_of(shared, archive), Table.next_offset, Objects.put
    begun, go, opened = threading.Event(), threading.Event(), threading.Event()

    def slow(self: Table, partition: int) -> int | None:
        found = next_offset(self, partition)
        begun.set()
        go.wait(30)
        return found

    def overtaken(self: Objects, *arguments: object) -> None:
        put(self, *arguments)  # type: ignore[arg-type]
        go.set()
        opened.wait(30)

    def away(*_: object) -> None:
        raise ServiceAway("s3", "as if it did not answer")

    def open_again(first: Callable[[], int]) -> int:
        try:
            return open_sink(first)
        finally:
            opened.set()

    open_sink, task._sink.open = task._sink.open, open_again  # type: ignore[method-assign]

    async def run() -> None:
        assert await task.open() == 0
        task._sink._age_s = 0
        if failure is Fenced:
            archive.write(records[:10])
        else:
            monkeypatch.setattr(Objects, "put", away)
        with pytest.raises(failure):
            await task.process(records)
        if failure is not Fenced:
            monkeypatch.setattr(Objects, "put", put)
            archive.write(records[:10])
        monkeypatch.setattr(Objects, "put", overtaken)
        monkeypatch.setattr(Table, "next_offset", slow)
        opened.clear()
        opening = asyncio.create_task(task.open())
        await until(begun.is_set)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        await task.close()
        go.set()
        await until(opened.is_set)

    asyncio.run(run())
    assert archive.table.next_offset(0) == records[9].offset + 1
    assert [segment.records for segment in archive.segments()] == [10]
    assert not verify(archive.objects, None, archive.topic, 0).faults


def test_what_expired_before_it_was_archived_is_a_gap_that_is_named(kafka_archive: Archive, shared: Shared) -> None:
    """A file with its range would say that there was nothing; and facts that are gone are waited for."""
    archive = kafka_archive
    archive.publish(120)
    records = archive.log()
    archive.write(records[:20])
    cut(archive, records[40].offset)
    archived, gone = records[19].offset + 1, records[40].offset
    expiring = Topic(archive.topic, (), 2, retention=timedelta(days=1), dead_letters=False)

    async def archive_on() -> None:
        tasks = [ArchiveTask(shared, expiring, partition) for partition in (0, 1)]
        async with live(archive, tasks.__getitem__, expiring=[archive.topic]):
            await until(lambda: archive.table.next_offset(0) == log_end(archive))

    with structlog.testing.capture_logs() as said:
        asyncio.run(archive_on())
    what = f"{archive.topic}:0: offsets {archived} to {gone - 1} are neither in the log nor in the archive"
    assert {each["what"] for each in said if each["event"] == "expired"} == {what}
    with LogReader(archive.settings) as reader:
        faults = verify(archive.objects, reader, archive.topic, 0).faults
        assert [(fault.begin, fault.end, fault.what) for fault in faults] == [(archived, gone, NO_FILE)]
        assert reader.kept_from(archive.topic, 0, archived) == gone
    assert archive.read(gone, log_end(archive)) == records[40:]


def test_an_archiver_gives_memory_back() -> None:
    """Arrow reads its environment once, when something first asks for memory: nothing may be imported before."""
    program = "from deploy.worker import lean; import eventlog.runtime.worker; lean(); import pyarrow"
    asked = f"{program}; print(pyarrow.default_memory_pool().backend_name)"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "system"
