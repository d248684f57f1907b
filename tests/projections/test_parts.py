"""Parts of the log as versions and files, and single rows that are folded anew, on the store in memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from eventlog.digest import canonical
from eventlog.errors import BadInput
from eventlog.memory import MemoryRows
from eventlog.operations import Add, Change, Put, coalesce
from eventlog.position import Position
from eventlog.roles import Projection
from eventlog.steps import ProjectStep
from projections import Reader, mending
from projections.export import export
from projections.folding import stream_owns_rows
from projections.mending import mend
from tests.projections.kinds import BRIEF, KINDS, LAST, NEWS, OPEN, SEEN, SHELF, SOLD, STOCK
from tests.projections.shop import EVENTS, GIFTS
from tests.projections.test_versions import FACTS, START, by_hand, more, replayed, rows, verified, world
from tests.projections.world import World

__all__ = ["world"]


@pytest.mark.parametrize("projection", [STOCK, SHELF, NEWS, SEEN, LAST, OPEN, SOLD, BRIEF], ids=lambda p: p.model.name)
def test_a_part_of_the_log_is_a_version_and_a_file_of_its_own(
    world: World, projection: Projection, tmp_path: Path
) -> None:
    world.apply(projection)
    begin, end = START + timedelta(minutes=60), START + timedelta(minutes=180)
    part = replayed(world, projection, since=begin, until=end)
    assert (part.switched, part.identical, part.records) == (False, None, 121)
    alone = sorted(map(canonical, world.store.scan(projection.model, part.version)))
    assert alone or projection is BRIEF
    path = tmp_path / "part.parquet"
    wanted = MemoryRows(projection.model)
    for partition in range(EVENTS.partitions):
        records = world.records.get((EVENTS.name, partition), [])
        cut = [r for r in records if begin <= datetime.fromtimestamp(r.timestamp / 1000 - 1, begin.tzinfo) <= end]
        if cut:
            wanted.apply(ProjectStep(projection, EVENTS, world.codec).run(cut).changes)
    if projection is not BRIEF:  # whose entries have expired for readers, and not for a fold
        assert alone == sorted(map(canonical, wanted.scan()))
    done = export(projection.model.name, path, world.settings, since=begin, until=end, catalog=world.catalog)
    assert done.rows == len(list(wanted.scan()))
    assert same(projection, path, list(wanted.scan()))


def same(projection: Projection, path: Path, rows: list[Any]) -> bool:
    """Whether the file has the rows; maps come back as lists of pairs."""
    found = []
    for row in pq.read_table(path).to_pylist():
        maps = getattr(projection.model, "maps", {})
        found.append({name: dict(value) if name in maps else value for name, value in row.items()})
    names = set(projection.model.columns)
    whole = [{name: row.get(name) for name in names} for row in rows]
    return sorted(map(canonical, found)) == sorted(map(canonical, whole))


def test_a_file_of_a_point_and_of_a_key(world: World, tmp_path: Path) -> None:
    path, point = tmp_path / "stock.parquet", START + timedelta(minutes=99)
    with Reader(world.settings, catalog=world.catalog, stores=world.stores) as reader:
        done = export("shop_stock", path, world.settings, until=point, catalog=world.catalog)
        assert same(STOCK, path, list(reader.read("shop_stock", as_of=point)))
        assert done.rows == pq.read_metadata(path).num_rows
        assert export("shop_stock", path, world.settings, key="b", until=point, catalog=world.catalog).rows == 3
        assert same(STOCK, path, list(reader.read("shop_stock", "b", as_of=point)))
        assert export("shop_stock", path, world.settings, key=("b", "x"), catalog=world.catalog).rows == 1
        position = Position({(EVENTS.name, p): 7 for p in range(EVENTS.partitions)})
        export("shop_stock", path, world.settings, until=str(position), catalog=world.catalog)
        assert same(STOCK, path, list(reader.read("shop_stock", as_of=position)))
        since = replayed(world, STOCK, since=position)
        assert since.records == sum(max(0, len(records) - 7) for records in world.records.values())
    assert pq.read_schema(path).metadata[b"onefact.model"] == b"shop_stock"
    assert world.store.live_version(STOCK.model) == 1
    assert list(tmp_path.glob("*.new")) == []


@pytest.mark.parametrize("projection", KINDS.projections, ids=lambda p: p.model.name)
def test_a_row_is_folded_anew_by_its_key(world: World, projection: Projection) -> None:
    world.apply(projection)
    before = rows(world, projection)
    keys = [tuple(row[column] for column in projection.model.key) for row in world.store.scan(projection.model)]
    if projection is BRIEF:
        assert not keys, "all have expired"
        return
    gone = Change()
    gone.remove()
    by_hand(world, projection, {keys[1]: gone})
    assert not verified(world, projection).identical
    right = mend(projection.model.name, keys[0], world.settings, catalog=KINDS, stores=world.stores)
    assert right.mended == []
    if stream_owns_rows(projection):
        assert right.records < FACTS / 2, "others' facts are not even decoded"
    done = mend(projection.model.name, keys[1], world.settings, catalog=KINDS, stores=world.stores)
    assert [(d.key, d.kind) for d in done.mended] == [(keys[1], "missing")]
    assert rows(world, projection) == before
    world.apply(projection)
    more(world, 20)
    world.apply(projection)
    assert verified(world, projection).identical


def test_all_rows_of_a_first_column_are_folded_anew(world: World) -> None:
    world.apply(STOCK)
    before = rows(world, STOCK)
    by_hand(world, STOCK, coalesce([Put(("a", item), {"quantity": Decimal(7)}) for item in ("x", "ghost")]))
    by_hand(world, STOCK, coalesce([Put(("b", "x"), {"quantity": Decimal(7)})]))
    done = mend("shop_stock", "a", world.settings, catalog=KINDS, stores=world.stores)
    assert {(d.key, d.kind) for d in done.mended} == {(("a", "x"), "changed"), (("a", "ghost"), "extra")}
    found = verified(world, STOCK)
    assert [d.key for d in found.differences] == [("b", "x")], "what was not asked for is left"
    mend("shop_stock", ("b", "x"), world.settings, catalog=KINDS, stores=world.stores)
    assert rows(world, STOCK) == before
    with pytest.raises(BadInput, match="which rows"):
        mend("shop_stock", (), world.settings, catalog=KINDS, stores=world.stores)


def test_a_row_is_mended_although_the_model_moves_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.apply(STOCK)
    by_hand(world, STOCK, coalesce([Put(("a", "x"), {"quantity": Decimal(777)})]))
    get, moves = world.store.get, [3]

    def restless(*asked: Any) -> Any:
        found = get(*asked)
        if moves[0]:
            moves[0] -= 1
            more(world, 4, shops="a")
            world.apply(STOCK)
        return found

    monkeypatch.setattr(world.store, "get", restless)
    assert mend("shop_stock", ("a", "x"), world.settings, catalog=KINDS, stores=world.stores).mended
    assert moves == [0]
    assert verified(world, STOCK).identical


def test_rows_that_streams_share_are_mended_from_all_of_them(world: World) -> None:
    world.catalog = replace(KINDS, projections=(GIFTS,))
    world.store.prepare([GIFTS.model])
    world.apply(GIFTS)
    before = rows(world, GIFTS)
    by_hand(world, GIFTS, coalesce([Add(("a",), {"given": 5})]))
    by_hand(world, GIFTS, coalesce([Add(("a-neighbour",), {"given": 5})]))
    for key in ("a", "a-neighbour"):  # the latter is no stream's
        assert mend("shop_gifts", key, world.settings, catalog=world.catalog, stores=world.stores).mended
    assert rows(world, GIFTS) == before


def test_of_a_feed_no_more_entries_are_held_than_it_keeps(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.apply(NEWS)
    before, held = rows(world, NEWS), list[int]()
    gone = Change()
    gone.remove()
    by_hand(world, NEWS, {("a",): gone})
    take = mending._KeyFold._take

    def taken(self: Any, *given: Any) -> None:
        take(self, *given)
        held.extend(len(change.pushes or ()) for change in self._changes.values())

    monkeypatch.setattr(mending._KeyFold, "_take", taken)
    assert mend("shop_news", "a", world.settings, catalog=KINDS, stores=world.stores).mended
    assert rows(world, NEWS) == before
    assert max(held) == NEWS.model.limit  # type: ignore[attr-defined]
