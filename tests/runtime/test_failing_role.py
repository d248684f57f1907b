"""What stops a partition: a role that fails on a fact, and a log that has lost some. Nothing is skipped or doubled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from eventlog.codec import Codec
from eventlog.envelope import Meta, Record, command_headers
from eventlog.operations import Operation
from eventlog.runtime import runner as running
from eventlog.runtime.runner import Runner
from eventlog.runtime.store_task import StoreTask
from projections.stores.memory import MemoryStore
from tests.laws.registry import MemorySchemas
from tests.runtime.counting import CATALOG, COUNTING, JOURNAL, SUMS, Counted, log_row

EVENTS = COUNTING.topic("events")
FACTS, BROKEN_AT = 5, 3
LOOKS = 6_000


class Feed:
    """Delivers what the runner asks for, as often as it asks."""

    def __init__(self, records: list[Record]) -> None:
        self.records = records
        self.starts: list[int] = []
        self.runner: Runner | None = None

    async def start_at(self, offset: int) -> None:
        self.starts.append(offset)
        assert self.runner
        for record in self.records[offset:]:
            self.runner.offer([record], record.offset)

    def stop(self) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    async def before_log(self, _: int) -> AsyncIterator[list[Record]]:
        for records in ():
            yield records

    def end(self) -> int | None:
        return len(self.records)


def facts(codec: Codec) -> list[Record]:
    made = []
    for number in range(FACTS):
        event = Counted(counter_id="c", number=number, total=number)
        extra = [("ce_sequence", b"%d" % (number + 1))]
        headers = command_headers(f"c:{number}", "test", "Counted", "c", datetime(2026, 1, 1, tzinfo=UTC), extra=extra)
        made.append(Record(EVENTS.name, 0, number, 0, b"c", codec.encode(event), headers))
    return made


async def until(done: Any) -> None:
    for _ in range(LOOKS):
        if done():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it does not happen")


def test_a_fact_that_a_role_fails_on_is_never_skipped(monkeypatch: Any) -> None:
    monkeypatch.setattr(running, "BACKOFF_S_MAX", 0.05)
    mended = False

    def on(event: Any, meta: Meta) -> Iterable[Operation]:
        if event.number == BROKEN_AT and not mended:
            raise RuntimeError("a bug")
        return log_row(event, meta)

    codec, store = Codec(MemorySchemas(), CATALOG.message_types), MemoryStore()
    store.prepare([JOURNAL.model])
    feed = Feed(facts(codec))

    async def append_dead(*_: Any) -> None:
        raise AssertionError("a fact that can be read is no dead letter")

    def rows() -> list[int]:
        return sorted(row["number"] for row in store.scan(JOURNAL.model))

    async def run() -> None:
        nonlocal mended
        task = StoreTask(replace(JOURNAL, on=on), EVENTS, 0, store, codec, append_dead)
        task.batch_records_max = 1
        feed.runner = runner = Runner(task, feed)
        await until(lambda: len(feed.starts) >= 4)
        assert rows() == list(range(BROKEN_AT))
        assert store.progress(JOURNAL.model) == {(EVENTS.name, 0): BROKEN_AT}
        assert set(feed.starts[1:]) == {BROKEN_AT}, "it asks for the same fact again"
        mended = True
        await until(lambda: len(rows()) == FACTS)
        assert runner.ready
        await runner.stop()

    asyncio.run(run())
    assert rows() == list(range(FACTS))


class ResetFeed(Feed):
    """What a client does whose position is past the end of the log: it begins at the start."""

    async def start_at(self, offset: int) -> None:
        await super().start_at(0 if offset > len(self.records) else offset)
        self.starts[-1] = offset


def test_a_log_that_lost_what_was_applied_is_not_applied_again() -> None:
    codec, store = Codec(MemorySchemas(), CATALOG.message_types), MemoryStore()
    store.prepare([SUMS.model])
    whole = facts(codec)
    rows = {"c": sum(range(FACTS))}

    async def append_dead(*_: Any) -> None: ...

    def totals() -> dict[str, int]:
        return {row["counter_id"]: row["total"] for row in store.scan(SUMS.model)}

    async def run() -> None:
        task = StoreTask(SUMS, EVENTS, 0, store, codec, append_dead)
        feed = ResetFeed(whole)
        feed.runner = runner = Runner(task, feed)
        await until(lambda: totals() == rows)
        await runner.stop()
        shorter = ResetFeed(whole[:2])
        shorter.runner = again = Runner(StoreTask(SUMS, EVENTS, 0, store, codec, append_dead), shorter)
        await until(lambda: len(shorter.starts) >= 3)
        assert totals() == rows
        assert set(shorter.starts) == {FACTS}
        await again.stop()

    asyncio.run(run())
    assert totals() == rows
    assert store.progress(SUMS.model) == {(EVENTS.name, 0): FACTS}
