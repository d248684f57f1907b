"""State on disk is the same as state in memory, whatever is cut off between a commit and the disk's write."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventlog.codec import Codec
from eventlog.envelope import Record, command_headers
from eventlog.partition import partition_of
from eventlog.roles import ReferenceTable
from eventlog.runtime.rocks import RocksStore
from eventlog.state import Recent
from eventlog.steps import DecideStep, EnrichStep
from eventlog.steps.streams import WINDOW
from eventlog.testing.scenarios import NOON
from tests.laws.registry import MemorySchemas
from tests.runtime.counting import CATALOG, COUNTING, DECIDER, ENRICHER, Count, Counted
from tests.runtime.test_rocks import new_store

CODEC = Codec(MemorySchemas(), CATALOG.message_types)
for schema_id in range(1, 20):
    CODEC.learn(schema_id)


def own(name: str) -> bool:
    return partition_of(name.encode(), COUNTING.partitions) == 0


NAMES = [name for n in range(200) if own(name := f"c{n}")][:6]
# Of one stream the id begins with another's, followed by what looks like a slot.
NAMES += [name for n in range(10_000) if own(name := f"{NAMES[0]}\x00{chr(1 + n % 90)}{n}")][:2]


def command(offset: int, name: str, command_id: int, number: int) -> Record:
    headers = command_headers(f"id-{command_id}", "test", "Count", name, NOON)
    value = CODEC.encode(Count(counter_id=name, number=number))
    return Record(DECIDER.source.name, 0, offset, 0, name.encode(), value, headers)


def fact(offset: int, name: str, number: int) -> Record:
    headers = command_headers(f"id-{offset}", "test", "Counted", name, NOON)
    value = CODEC.encode(Counted(counter_id=name, number=number, total=0))
    return Record(ENRICHER.source.name, 0, offset, 0, name.encode(), value, headers)


@dataclass
class Log:
    """A changelog in memory: rows and positions by offset, as the broker would keep them without compaction."""

    rows: list[tuple[bytes | None, bytes | None, int | None]] = field(default_factory=list)

    def append(self, rows: list[Any], position: int) -> None:
        self.rows += [(key, value, None) for key, value, _ in rows]
        self.rows.append((None, None, position))
        self.rows.append((None, None, None))  # the transaction's marker

    def recover(self, store: RocksStore, piece: int, pieces_max: int = 1_000_000) -> int:
        begin, position = store.open(0, len(self.rows))
        for at in range(begin, len(self.rows), piece)[:pieces_max]:
            part = self.rows[at : at + piece]
            position = next((p for _, _, p in reversed(part) if p is not None), position)
            store.write([(k, v) for k, v, _ in part], position, at + len(part))
        return position


def outputs(done: Any) -> Any:
    return done.rows, done.counts


Batch = tuple[list[tuple[int, int, int]], str]
batches = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(0, len(NAMES) - 1), st.integers(0, 40), st.integers(-1, 5)), min_size=1,
                 max_size=8),
        st.sampled_from(["written", "written", "reopened", "lost", "lost halfway"]),
    ),
    max_size=25,
)  # fmt: skip


@pytest.mark.parametrize("cache_bytes", [0, 1500, 1 << 20])
@settings(max_examples=25)
@given(made=batches, piece=st.integers(1, 7))
def test_a_decider_on_disk_decides_as_one_in_memory(cache_bytes: int, made: list[Batch], piece: int) -> None:
    with TemporaryDirectory() as folder:
        log, plain, offset = Log(), DecideStep(DECIDER, CODEC), 0
        store = new_store(Path(folder), cache_bytes=cache_bytes)
        assert log.recover(store, piece) == 0
        step = DecideStep(DECIDER, CODEC, store=store)
        for asked, ending in made:
            records = [command(offset + n, NAMES[name], cid, number) for n, (name, cid, number) in enumerate(asked)]
            offset += len(records)
            expected, done = plain.run(records), step.run(records)
            late = plain.late(expected, [(0, offset)])
            found = step.late(done, [(0, offset)])
            assert outputs(done) == outputs(expected)
            assert found == late
            plain.commit(expected)
            log.append(found[1], offset)
            if ending == "written":
                store.write([(k, v) for k, v, _ in found[1]], offset, len(log.rows) - 1)
                step.commit(done)
                continue
            if ending == "reopened":
                store.write([(k, v) for k, v, _ in found[1]], offset, len(log.rows) - 1)
            store.close()
            store = new_store(Path(folder), cache_bytes=cache_bytes)
            if ending == "lost halfway":
                log.recover(store, piece, pieces_max=1)
                store.close()
                store = new_store(Path(folder), cache_bytes=cache_bytes)
            assert log.recover(store, piece) == offset
            step = DecideStep(DECIDER, CODEC, store=store)
        for name in NAMES:
            key = name.encode()
            kept = {k: v for k, v, _ in log.rows if k is not None and k[:-2] == key}
            assert list(store.read(key)) == [kept[k] for k in sorted(kept)]
        store.close()


@settings(max_examples=15)
@given(
    made=st.lists(st.tuples(st.lists(st.integers(0, len(NAMES) - 1), min_size=1, max_size=6), st.booleans()),
                  max_size=20),
    cache_bytes=st.sampled_from([0, 1 << 20]),
)  # fmt: skip
def test_an_enricher_on_disk_enriches_as_one_in_memory(made: list[tuple[list[int], bool]], cache_bytes: int) -> None:
    tables = {topic.name: ReferenceTable() for topic in ENRICHER.references}
    with TemporaryDirectory() as folder:
        log, plain, offset = Log(), EnrichStep(ENRICHER, CODEC, tables), 0
        store = new_store(Path(folder), slotted=False, cache_bytes=cache_bytes)
        log.recover(store, 3)
        step = EnrichStep(ENRICHER, CODEC, tables, store=store)
        for asked, crash in made:
            records = [fact(offset + n, NAMES[name], n) for n, name in enumerate(asked)]
            offset += len(records)
            expected, done = plain.run(records), step.run(records)
            assert outputs(done) == outputs(expected)
            plain.commit(expected)
            changelog = step.changelog(done)
            log.append(changelog, offset)
            if crash:
                store.close()
                store = new_store(Path(folder), slotted=False, cache_bytes=cache_bytes)
                assert log.recover(store, 3) == offset
                step = EnrichStep(ENRICHER, CODEC, tables, store=store)
            else:
                store.write([(k, v) for k, v, _ in changelog], offset, len(log.rows) - 1)
                step.commit(done)
        store.close()


def test_a_stream_keeps_a_bounded_number_of_rows_on_disk(tmp_path: Path) -> None:
    store = new_store(tmp_path, cache_bytes=0)
    store.open(0, 0)
    step = DecideStep(DECIDER, CODEC, store=store)
    for n in range(WINDOW + 300):
        done = step.run([command(n, NAMES[0], n, 1)])
        _, changelog = step.late(done, [(0, 0)])
        store.write([(k, v) for k, v, _ in changelog], n + 1, n + 1)
        step.commit(done)
    assert len(store.read(NAMES[0].encode())) == WINDOW
    assert not step.streams.known, "the cache may take nothing here"
    again = step.run([command(WINDOW + 300, NAMES[0], 300, 1)])  # the oldest that is promised
    assert again.counts["repeated"] == 1
    store.close()


def test_memory_is_bounded_by_forgetting_what_was_not_used_for_longest() -> None:
    streams = {b"a": 1, b"b": 2, b"c": 3}
    recent = Recent(streams, 100)
    for key in (b"a", b"b", b"c", b"a"):
        recent.use(key, 40)
    recent.forget()
    assert streams == {b"a": 1, b"c": 3}
    recent.use(b"a", 101)
    recent.forget()
    assert streams == {}
