"""Where facts begin that a place of the source led to: what a search finds is what a reading of everything finds."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from eventlog.envelope import Record, time_text
from eventlog.position import Position
from eventlog.steps import EnrichStep
from projections import causes
from projections.causes import boundary, scanned
from projections.lineage import Deadline, Lineage
from tests.projections.shop import CATALOG, EVENTS, RANKED, RANKER, RANKING, Counted
from tests.projections.world import Kept, MemoryLog, World

SOURCE, OUTPUT = ("source", 0), ("output", 0)
START = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class SparseLog:
    """Two partitions with offsets that are no records, as transactions leave them."""

    records: dict[tuple[str, int], list[Record]] = field(default_factory=lambda: {SOURCE: [], OUTPUT: []})
    read: int = 0

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        its = self.records[topic, partition]
        return 0, its[-1].offset + 2 if its else 0

    def batches(self, ranges: Mapping[tuple[str, int], tuple[int, int]]) -> Iterator[tuple[Any, list[Any], int]]:
        for place, (begin, end) in ranges.items():
            its = self.records[place]
            first, last = (bisect_left(its, at, key=lambda record: record.offset) for at in (begin, end))
            self.read += last - first
            yield place, [Kept(record) for record in its[first:last]], end


@dataclass
class Made:
    """A processor's source and output, and where each fact really comes from."""

    log: SparseLog
    caused: list[tuple[int, int]]
    """Of each record of the output: its offset, and that of its cause."""

    def wanted(self, offset: int, end: int) -> int:
        return next((at for at, cause in self.caused if cause >= offset), end)


def made(rng: random.Random, count: int, *, clock: str, fan: str, repeats: float = 0) -> Made:
    log, caused, ids = SparseLog(), list[tuple[int, int]](), list[bytes]()
    first_seen = set[bytes]()
    at = {SOURCE: 0, OUTPUT: 0}
    for number in range(count):
        lately = ids[-40:]
        again = bool(lately) and rng.random() < repeats
        name = rng.choice(lately) if again else b"c%d" % number
        ids.append(name)
        minutes = {"even": number, "noisy": number + rng.randrange(-30, 30), "none": rng.randrange(count), "one": 0}
        when = START + timedelta(minutes=minutes[clock])
        headers = [("ce_id", name), ("ce_time", time_text(when).encode())]
        log.records[SOURCE].append(Record(*SOURCE, at[SOURCE], number * 50, b"k", b"v", headers))
        many = {"one": 1, "few": int(rng.random() < 0.05), "bursts": rng.choice((0, 0, 0, 0, 1, 12)), "all": 3}[fan]
        if fan == "late" or name in first_seen:
            many = 0
        first_seen.add(name)
        for _ in range(many):
            headers = [("ce_causationid", name), ("ce_time", time_text(when).encode())]
            caused.append((at[OUTPUT], at[SOURCE]))
            log.records[OUTPUT].append(Record(*OUTPUT, at[OUTPUT], number * 50 + 9, b"k", b"v", headers))
            at[OUTPUT] += 1
        at[SOURCE] += 1
        if rng.random() < 0.1:
            at[SOURCE] += 1  # a marker
            at[OUTPUT] += rng.choice((1, 1, 30))  # or a batch that was aborted
    return Made(log, caused)


@pytest.mark.parametrize("fan", ["one", "few", "bursts", "all"])
@pytest.mark.parametrize("clock", ["even", "noisy", "none", "one"])
def test_a_search_finds_what_a_scan_finds(monkeypatch: pytest.MonkeyPatch, clock: str, fan: str) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    monkeypatch.setattr(causes, "NEAR", (10, 40, 160))
    world = made(rng, 400, clock=clock, fan=fan)
    end = world.log.bounds(*OUTPUT)[1]
    missed = 0
    offsets = [0, 1, *(rng.randrange(world.log.bounds(*SOURCE)[1]) for _ in range(40))]
    for offset in offsets:
        wanted = world.wanted(offset, end)
        assert scanned(world.log, SOURCE, offset, OUTPUT, end, repeated=False) == wanted, offset
        found = boundary(world.log, SOURCE, offset, OUTPUT, end)
        missed += found is None
        assert found in (None, wanted), offset
    # Where times say nothing, or facts are few, more may have to be read than lies near.
    assert missed == 0 or clock in ("none", "one") or fan == "few", f"{missed} of {len(offsets)}"


def test_of_commands_that_are_sent_again_the_first_ones_count(monkeypatch: pytest.MonkeyPatch) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    world = made(rng, 300, clock="noisy", fan="bursts", repeats=0.2)
    end = world.log.bounds(*OUTPUT)[1]
    for offset in range(0, world.log.bounds(*SOURCE)[1], 7):
        assert scanned(world.log, SOURCE, offset, OUTPUT, end, repeated=True) == world.wanted(offset, end), offset


def test_little_is_read_of_a_long_log() -> None:
    world = made(random.Random(5), 150_000, clock="noisy", fan="bursts")
    end = world.log.bounds(*OUTPUT)[1]
    for share in (0.01, 0.3, 0.77, 0.999):
        offset, before = int(world.log.bounds(*SOURCE)[1] * share), world.log.read
        assert boundary(world.log, SOURCE, offset, OUTPUT, end) == world.wanted(offset, end)
        assert world.log.read - before < 40_000, "the whole log has 300,000"


def test_what_lies_out_of_order_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some facts come a second time, behind their place: those before and after them tell another one."""
    monkeypatch.setattr(causes, "NEAR", (10, 40, 160))
    world = made(random.Random(6), 600, clock="even", fan="one")
    its, place = world.log.records[OUTPUT], world.caused[300]
    its[303:303] = [its[295], its[310]]
    its[:] = [Record(*OUTPUT, n, each.timestamp, each.key, each.value, each.headers) for n, each in enumerate(its)]
    assert scanned(world.log, SOURCE, place[1], OUTPUT, len(its), repeated=False) == 300
    assert boundary(world.log, SOURCE, place[1], OUTPUT, len(its)) is None


def ranked_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, facts: int) -> World:
    """Facts of some shops, and what the enricher makes of them."""
    world = World(tmp_path, CATALOG)
    world.patch(monkeypatch)
    monkeypatch.setattr(Lineage, "_high_watermark", lambda *_: 0)
    monkeypatch.setattr(causes, "NEAR", (30, 100))
    rng = random.Random(7)
    for number in range(facts):
        fact = Counted(shop=f"s{rng.randrange(20)}", item="tea", quantity=Decimal(rng.randrange(9)))
        world.append(EVENTS, fact, START + timedelta(minutes=number))
    for (_, partition), records in list(world.records.items()):
        rows = EnrichStep(RANKER, world.codec, {}).run(records).rows.get(RANKED.name, [])
        world.records[RANKED.name, partition] = [
            Record(RANKED.name, partition, at, at, key, value, headers) for at, (key, value, headers) in enumerate(rows)
        ]
    return world


def test_a_position_of_the_events_is_found_without_reading_them_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = ranked_world(tmp_path, monkeypatch, 8_000)
    place = max((place for place in world.records if place[0] == EVENTS.name), key=lambda p: len(world.records[p]))
    offset = len(world.records[place]) // 3
    with closing(Lineage(world.settings, world.catalog)) as lineage:
        limits = partial(lineage.limits, RANKING, RANKED, Position.of(*place, offset), [place[1]], Deadline(1))
        before = MemoryLog.read
        found = limits()
        assert MemoryLog.read - before < len(world.records[place]) / 4
        ids = {dict(record.headers)["ce_id"] for record in world.records[place][:offset]}
        made = [dict(record.headers)["ce_causationid"] for record in world.records[RANKED.name, place[1]]]
        assert found == {place[1]: sum(cause in ids for cause in made)}
        # A letter that was published again may lie anywhere: then everything is read.
        letter = Record(RANKED.dead.name, 0, 2, 2, b"a letter", b"v", [])
        world.records[RANKED.dead.name, 0] = [letter]
        before = MemoryLog.read
        assert limits() == found
        assert MemoryLog.read - before > len(world.records[place]) - offset
