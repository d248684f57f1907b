"""Deciders and enrichers whose state is on disk, killed and moved about: each command once, and only the tail read."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventlog.codec import Codec
from eventlog.reader import LogReader, to_record
from eventlog.roles import Decider
from eventlog.runtime.kafka_task import DecideTask
from eventlog.settings import Settings
from tests.backing import Backing
from tests.runtime.counting import COUNTING, DECIDER
from tests.runtime.harness import Workers, publish, seeded, wait_none_open, wait_until
from tests.runtime.test_exactly_once import PROCESSORS, RECOVERY_S, all_decided, check_invariants, commands


@pytest.fixture
def workers(backing: Backing, tmp_path: Path) -> Iterator[Workers]:
    on_disk = {
        "ONEFACT_STATE_STORE": "rocksdb",
        "ONEFACT_STATE_CACHE_MB": "0",  # every batch reads its streams from disk
        "ONEFACT_HOME": str(tmp_path / "home"),
    }
    started = Workers(backing.env | on_disk, tmp_path)
    yield started
    started.stop()


def test_kill_9_with_state_on_disk(settings: Settings, codec: Codec, workers: Workers) -> None:
    rng = seeded()
    for name in ("a", "b"):
        workers.start(name, *PROCESSORS)
    workers.wait_ready()
    published = commands("disk", 30_000, 300)
    chunk = len(published) // 10
    for i in range(0, len(published), chunk):
        publish(settings, codec, COUNTING.topic("commands"), published[i : i + chunk])
        time.sleep(rng.uniform(0.0, 1.0))
        name = rng.choice("ab")
        workers.kill(name)
        if rng.random() < 0.2:
            # A new disk; killed again before it opened a partition, a worker has none yet.
            shutil.rmtree(workers.folder / "home" / "state" / name, ignore_errors=True)
        workers.start(name)
    wait_until(lambda: all_decided(settings), RECOVERY_S, "everything decided and enriched", workers.logs)
    check_invariants(settings, codec, "disk", published)
    assert [path for path in (workers.folder / "home").glob("state/*/counting.decider/*/rocksdb") if path.is_dir()]


def recovered(task: DecideTask) -> tuple[int, int]:
    """Position, and the offset of the changelog up to which the state on disk goes."""
    position = task._recover()
    assert task._store
    reached = task._store._meta.reached
    task._store.close()
    return position, reached


def test_recovery_reads_only_the_tail(
    settings: Settings, codec: Codec, workers: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers.start("a", *PROCESSORS)
    workers.wait_ready()
    publish(settings, codec, COUNTING.topic("commands"), commands("tail", 3_000, 50))
    wait_until(lambda: all_decided(settings), RECOVERY_S, "everything decided", workers.logs)
    workers.kill("a")
    wait_none_open(settings, DECIDER.changelog.name)
    home = settings.model_copy(
        update={"home": tmp_path / "home", "worker_name": "a", "state_store": "rocksdb", "state_cache_mb": 0}
    )
    role: Decider = DECIDER
    read: list[int] = []
    batches = LogReader.batches

    def counted(self: LogReader, ranges: object) -> object:
        for place, messages, reached in batches(self, ranges):  # type: ignore[arg-type]
            read.append(len(messages))
            yield place, messages, reached

    monkeypatch.setattr(LogReader, "batches", counted)
    for partition in range(COUNTING.partitions):
        before = recovered(DecideTask(role, partition, home, codec))
        rows = sum(read)
        again = recovered(DecideTask(role, partition, home, codec))
        assert again == before
        assert sum(read) == rows, "what is on disk was read again"
        read.clear()
        # The last batch may have been committed when the kill came, but hardly ever more than that.
        shutil.rmtree(tmp_path / "home" / "state" / "a" / role.name / str(partition))
        assert recovered(DecideTask(role, partition, home, codec)) == before
        assert rows < sum(read), "built anew from the beginning"
        read.clear()


@pytest.mark.asyncio
async def test_an_owner_that_was_fenced_writes_nothing_to_its_disk(
    settings: Settings, codec: Codec, tmp_path: Path
) -> None:
    commands_topic = COUNTING.topic("commands")
    publish(settings, codec, commands_topic, commands("fenced", 300, 20))
    tasks = []
    for name in ("old", "new"):
        own = settings.model_copy(
            update={"home": tmp_path / "home", "worker_name": name, "state_store": "rocksdb", "state_cache_mb": 0}
        )
        tasks.append(DecideTask(DECIDER, 0, own, codec))
    old, new = tasks
    begin = await old.open()
    assert old._store
    before = old._store._meta
    with LogReader(settings) as reader:
        _, end = reader.bounds(commands_topic.name, 0)
        place = {(commands_topic.name, 0): (begin, end)}
        records = [to_record(m) for _, messages, _ in reader.batches(place) for m in messages]
    assert records
    assert old._producer

    async def lost() -> None:
        raise ConnectionError("the broker is away")

    old._producer.commit_transaction = lost
    with pytest.raises(ConnectionError):
        await old.process(records)
    assert old._store._meta == before, "written before the commit"
    assert await old.open() == begin
    assert old._store
    before = old._store._meta  # past what was aborted
    await new.open()
    with pytest.raises(Exception, match=r"(?i)fenced|epoch"):
        await old.process(records)
    assert old._store._meta == before
    await new.process(records)
    assert new._store
    assert new._store._meta.position == records[-1].offset + 1
    assert await old.open() == records[-1].offset + 1, "the tail brings it to where the other one is"
    for key in {record.key or b"" for record in records}:
        assert old._store.read(key) == new._store.read(key)
        assert old._store.read(key)
    await old.close()
    await new.close()
