"""Checkpoints: what a model was at any point is the same with them and without, and they save the reading."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from eventlog.archive.checkpoints import OTHERS_KEPT_S, chain
from eventlog.digest import canonical
from eventlog.envelope import Meta, Record
from eventlog.errors import ServiceAway
from eventlog.operations import Add, Operation
from eventlog.partition import partition_of
from eventlog.position import Position
from eventlog.roles import Projection
from projections import Reader, nearest
from projections.checkpoints import checkpoints_of
from projections.fingerprint import FOLDING_DIGEST, fold_of, folding_digest
from projections.folding import HistoryGone
from tests.projections.counted import FACTS, SHOPS, START, counted, folded, made
from tests.projections.kinds import ITEMS, KINDS, LAST, SHELF, STOCK
from tests.projections.shop import EVENTS, GIFTS, JOURNAL, Counted
from tests.projections.world import MemoryLog, MemoryObjects, World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return counted(tmp_path, monkeypatch)


def points(world: World, count: int) -> Iterator[datetime | Position]:
    rng = random.Random(21)
    yield START - timedelta(days=1)
    yield START + timedelta(days=9)
    for _ in range(count):
        yield START + timedelta(minutes=rng.randrange(-5, FACTS + 5), microseconds=rng.choice((-1, 0, 1)))
        ends = {place: rng.randrange(len(records) + 1) for place, records in world.records.items()}
        yield Position({place: offset for place, offset in ends.items() if offset})


@pytest.mark.parametrize("projection", KINDS.projections, ids=lambda p: p.model.name)
def test_as_of_any_point_is_a_fresh_fold_to_it(world: World, projection: Projection) -> None:
    rng = random.Random(22)
    result = made(world, projection)
    assert result.checkpoints == result.made == FACTS // 41
    with Reader(world.settings, catalog=world.catalog, stores=world.stores) as reader:
        for point in points(world, 5):
            wanted = folded(world, projection, point)
            assert sorted(map(canonical, reader.read(projection.model.name, as_of=point))) == wanted, point
            rows = list(reader.read(projection.model.name, as_of=point))
            for row in rng.sample(rows, min(4, len(rows))):
                key = tuple(row[column] for column in projection.model.key)
                assert reader.read(projection.model.name, key, as_of=point) == row, (point, key)


def test_it_is_read_from_the_nearest_one(world: World) -> None:
    with Reader(world.settings, catalog=world.catalog, stores=world.stores) as reader:
        end = START + timedelta(minutes=FACTS)
        before = MemoryLog.read
        row = reader.read("shop_shelf", "s3", as_of=end)
        whole = MemoryLog.read - before
    made(world, SHELF)
    with Reader(world.settings, catalog=world.catalog, stores=world.stores) as reader:
        before = MemoryLog.read
        assert reader.read("shop_shelf", "s3", as_of=end) == row
        assert MemoryLog.read - before < whole / 4
        before = MemoryLog.read
        reader.read("shop_shelf", "s3", as_of=START + timedelta(minutes=90))
        # Stretches whose facts are all later are passed over, up to the end of the checkpoints.
        assert MemoryLog.read - before < whole / 2
        before = MemoryLog.read
        for minute in range(60):
            reader.read("shop_shelf", "s3", as_of=START + timedelta(minutes=90, seconds=minute))
        assert MemoryLog.read == before, "what was read is read again"


def test_the_next_run_goes_on_where_the_last_one_was(world: World) -> None:
    first = made(world, STOCK, every=90)
    assert (first.made, first.offsets) == (4, 360)
    again = made(world, STOCK, every=90)
    assert (again.made, again.records) == (0, 0)
    with Reader(world.settings, catalog=world.catalog, stores=world.stores) as reader:
        tail = reader.read("shop_stock", as_of=START + timedelta(days=9))
        for number in range(150):
            fact = Counted(shop=SHOPS[number % 9], item="ab"[number % 2], quantity=Decimal(1 - number % 5))
            world.append(EVENTS, fact, START + timedelta(minutes=FACTS + number))
        assert reader.read("shop_stock", as_of=START + timedelta(days=9)) != tail
        reader.read("shop_stock", "s1", as_of=START + timedelta(days=9))  # reads on past the last checkpoint
        later = made(world, STOCK, every=90)
        assert (later.made, later.checkpoints, later.offsets, later.records) == (2, 6, 540, 180)
        # The same reader: what it had read as the log's end now has a checkpoint in the middle.
        late = [START + timedelta(minutes=minute) for minute in range(340, 600, 15)]
        for point in (*points(world, 3), *late):
            whole = reader.read("shop_stock", as_of=point)
            assert sorted(map(canonical, whole)) == folded(world, STOCK, point)
            assert reader.read("shop_stock", "s1", as_of=point) == [row for row in whole if row["shop"] == "s1"], point


def test_another_fold_has_none_of_its_own(world: World) -> None:
    made(world, ITEMS)

    def doubled(event: Counted, meta: object) -> Iterator[Any]:
        for operation in ITEMS.on(event, meta):  # type: ignore[arg-type]
            yield operation._replace(values={"quantity": event.quantity * 2})

    other = replace(ITEMS, on=doubled)  # type: ignore[arg-type]
    assert fold_of(other) != fold_of(ITEMS)
    assert fold_of(replace(ITEMS, on=ITEMS.on)) == fold_of(ITEMS)
    world.catalog = replace(KINDS, projections=(other,))
    point = START + timedelta(minutes=250)
    with Reader(world.settings, catalog=world.catalog, stores=world.stores) as reader:
        assert sorted(map(canonical, reader.read("shop_items", as_of=point))) == folded(world, other, point)
    made(world, other)
    kept = checkpoints_of(ITEMS, world.settings)
    assert kept is not None
    assert kept.index().checkpoints, "those of the fold before may still be used"
    world.objects.age(OTHERS_KEPT_S + 1)
    made(world, other)
    assert kept.index().checkpoints == [], "nobody has made any for a day"
    assert not [name for name in world.objects.kept if fold_of(ITEMS) in name]


def test_of_another_log_none_is_used(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made(world, STOCK)
    monkeypatch.setattr(MemoryLog, "topic_id", lambda _, topic: f"another {topic}")
    world.records = {place: records[:20] for place, records in world.records.items()}
    point = START + timedelta(minutes=FACTS)
    world.patch(monkeypatch)
    with Reader(world.settings, catalog=world.catalog, stores=world.stores) as reader:
        assert sorted(map(canonical, reader.read("shop_stock", as_of=point))) == folded(world, STOCK, point)
    assert made(world, STOCK, every=50).checkpoints == sum(map(len, world.records.values())) // 50


def test_where_the_object_store_is_away_the_log_is_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made(world, SHELF)
    point = START + timedelta(minutes=90)

    keys, asked, time_s = MemoryObjects.keys, [], [100.0]

    def away(*_: object) -> None:
        asked.append(time_s[0])
        raise ServiceAway("s3", "gone")

    monkeypatch.setattr(nearest, "time", SimpleNamespace(monotonic=lambda: time_s[0]))
    monkeypatch.setattr(MemoryObjects, "keys", away)
    with Reader(world.settings, catalog=world.catalog, stores=world.stores) as reader:
        for time_s[0] in (100.0, 100.0 + nearest.AWAY_S - 1, 100.0 + nearest.AWAY_S):
            assert sorted(map(canonical, reader.read("shop_shelf", as_of=point))) == folded(world, SHELF, point)
        assert asked == [100.0, 100.0 + nearest.AWAY_S], "it is left alone for a while"
        monkeypatch.setattr(MemoryObjects, "keys", keys)
        time_s[0] += nearest.AWAY_S
        get = MemoryObjects.get

        def noted(self: MemoryObjects, key: str) -> bytes:
            asked.append(time_s[0])
            return get(self, key)

        monkeypatch.setattr(MemoryObjects, "get", noted)
        assert sorted(map(canonical, reader.read("shop_shelf", as_of=point))) == folded(world, SHELF, point)
        assert asked[2:], "checkpoints are read again"


def test_a_row_is_written_as_often_as_its_checkpoints_number_has_digits(world: World) -> None:
    assert [list(chain(number)) for number in (1, 6, 7, 8)] == [[1], [6, 4], [7, 6, 4], [8]]
    result = made(world, JOURNAL, every=9)
    assert result.checkpoints == FACTS // 9
    assert result.rows < FACTS * (FACTS // 9).bit_length()


def test_of_a_compacted_topic_only_what_has_no_gaps_is_kept(world: World) -> None:
    compacted = replace(EVENTS, compacted=True)
    projection = replace(SHELF, sources=(compacted,))
    world.catalog = replace(KINDS, projections=(projection,))
    assert made(world, projection).checkpoints == FACTS // 41
    with Reader(world.settings, catalog=world.catalog, stores=world.stores) as reader:
        for point in points(world, 3):
            assert sorted(map(canonical, reader.read("shop_shelf", as_of=point))) == folded(world, SHELF, point)
    for place, records in world.records.items():  # what a compaction before the archiver would have left
        world.records[place] = [replaced(record, record.offset + 2 * (record.offset > 30)) for record in records]
    with pytest.raises(HistoryGone, match="compacted away"):
        made(world, projection, fresh=True)
    assert checkpoints_of(LAST, world.settings.model_copy(update={"s3": ""})) is None


def replaced(record: Record, offset: int) -> Record:
    return msgspec.structs.replace(record, offset=offset)


def test_rows_that_are_not_the_streams_own_are_folded_from_all(world: World) -> None:
    world.catalog = replace(KINDS, projections=(GIFTS,))
    made(world, GIFTS)
    point = START + timedelta(minutes=FACTS)
    with Reader(world.settings, catalog=world.catalog, stores=world.stores) as reader:
        given = reader.read("shop_gifts", "s3-neighbour", as_of=point)  # no stream has that name
        assert given == reader.read("shop_gifts", "s3", as_of=point) | {"shop": "s3-neighbour"}


def test_a_fact_that_changes_a_row_of_another_stream_is_noticed_whatever_else_is_in_its_batch(world: World) -> None:
    """It writes to a stream whose own facts are all around it."""
    first, second = next(
        (a, b)
        for a, b in combinations(SHOPS, 2)
        if partition_of(a.encode(), EVENTS.partitions) == partition_of(b.encode(), EVENTS.partitions)
    )

    def on(event: Counted, meta: Meta) -> Iterator[Operation]:
        yield from SHELF.on(event, meta)
        if event.shop == first:
            yield Add((second,), {"facts": 1})

    given = replace(SHELF, on=on)
    world.catalog = replace(KINDS, projections=(given,))
    made(world, given, every=FACTS)
    kept = checkpoints_of(given, world.settings)
    assert kept is not None
    assert not kept.index().owned
    with Reader(world.settings, catalog=world.catalog, stores=world.stores) as reader:
        point = START + timedelta(minutes=FACTS)
        whole = {row["shop"]: row for row in reader.read("shop_shelf", as_of=point)}
        assert reader.read("shop_shelf", second, as_of=point) == whole[second]


def test_what_folds_is_not_changed_without_a_thought_of_checkpoints() -> None:
    digest = folding_digest()
    assert digest == FOLDING_DIGEST, (
        "code that folds has changed. If a log may come to other rows than before, count `FOLD` up in "
        "projections/fingerprint.py: checkpoints made until then are made anew. In any case write there "
        f'FOLDING_DIGEST = "{digest}"'
    )
