"""Checkpoints that are damaged, and runs that others overtake: answers stay right, and what is lost is work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from eventlog.archive.checkpoints import UNNAMED_KEPT_S
from eventlog.archive.indexes import Overtaken, progress_of
from eventlog.archive.unpacked import UNPACKED_BYTES, Unpacked
from eventlog.digest import canonical
from eventlog.envelope import Meta
from eventlog.memory import MemoryRows
from eventlog.operations import Operation
from eventlog.position import Position
from eventlog.roles import Projection
from projections import Reader
from projections.checkpoints import Checkpointed, checkpoint, checkpoints_of
from tests.projections.counted import FACTS, SHOPS, START, counted, folded, made
from tests.projections.kinds import ITEMS, KINDS, STOCK
from tests.projections.shop import EVENTS, Counted
from tests.projections.world import MemoryLog, MemoryObjects, World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return counted(tmp_path, monkeypatch)


def test_where_a_file_was_altered_or_is_gone_the_log_is_read(world: World, caplog: pytest.LogCaptureFixture) -> None:
    made(world, STOCK)
    point = START + timedelta(minutes=FACTS)
    wanted = folded(world, STOCK, point)
    names = [name for name in world.objects.kept if name.endswith(".parquet")]
    index = max(name for name in world.objects.kept if name.endswith(".json"))
    for names_of, broken, said in (
        (names, lambda data: data + b"x", "was altered"),
        (names, None, "lacks the file"),
        ([index], lambda data: data[:-9], "was altered"),
    ):
        for name in names_of:
            if broken is None:
                del world.objects.kept[name]
            else:
                world.objects.kept[name] = broken(world.objects.kept[name])
        caplog.clear()
        with Reader(world.settings, catalog=world.catalog, stores=world.stores) as reader:
            for _ in range(2):
                assert sorted(map(canonical, reader.read("shop_stock", as_of=point))) == wanted
                assert [row["item"] for row in reader.read("shop_stock", "s3", as_of=point)]
        assert any(said in line and "folded from the log" in line for line in caplog.messages), caplog.messages
        assert len(caplog.messages) <= 2, "it is said once of each file"


@pytest.mark.parametrize("damage", ["file gone", "file altered", "index altered", "index of fewer"])
def test_a_run_that_meets_damage_begins_anew(world: World, caplog: pytest.LogCaptureFixture, damage: str) -> None:
    first = made(world, STOCK)
    point = START + timedelta(minutes=FACTS)
    files = [name for name in world.objects.kept if name.endswith(".parquet")]
    index = max(name for name in world.objects.kept if name.endswith(".json"))
    for name in files if damage.startswith("file") else [index]:
        if damage == "file gone":
            del world.objects.kept[name]
        elif damage == "index of fewer":
            fewer = json.loads(world.objects.kept[name])
            del fewer["checkpoints"][-1]
            world.objects.kept[name] = json.dumps(fewer).encode()
        else:
            world.objects.kept[name] = world.objects.kept[name][:-9]
    with Reader(world.settings, catalog=world.catalog, stores=world.stores) as reader:
        assert sorted(map(canonical, reader.read("shop_stock", as_of=point))) == folded(world, STOCK, point)
        for number in range(60):  # an altered file is met where rows are taken from it
            world.append(EVENTS, Counted(shop=SHOPS[number % 9], item="a", quantity=Decimal(1)), point)
        caplog.clear()
        again = made(world, STOCK)
        assert again.made == again.checkpoints > first.checkpoints
        assert any("begin anew" in line for line in caplog.messages)
        late, before = START + timedelta(days=9), MemoryLog.read
        rows = reader.read("shop_stock", as_of=late)
        assert MemoryLog.read - before < 41, "the reader that met the damage has the new ones"
        assert sorted(map(canonical, rows)) == folded(world, STOCK, late)
    assert_whole(world, STOCK)
    assert made(world, STOCK).made == 0


def test_a_run_that_would_not_read_what_is_gone_begins_anew_too(world: World) -> None:
    assert made(world, STOCK).checkpoints == 9
    kept = checkpoints_of(STOCK, world.settings)
    assert kept is not None
    index = kept.index()
    gone = next(filter(None, index.checkpoints[6].files))
    assert gone not in index.checkpoints[7].files + index.checkpoints[8].files
    del world.objects.kept[next(name for name in world.objects.kept if gone in name)]
    assert made(world, STOCK).made == 9
    assert_whole(world, STOCK)


def test_two_versions_of_the_code_leave_each_others_alone(world: World, tmp_path: Path) -> None:
    """A rolling deploy: each host's archiver has its own code, and runs every hour, also while the other one does."""

    def later(event: Counted, meta: Meta) -> Iterator[Operation]:
        yield from ITEMS.on(event, meta)

    other = replace(ITEMS, on=later)
    elsewhere = world.settings.model_copy(update={"home": tmp_path / "other"})
    catalogs = replace(KINDS, projections=(ITEMS,)), replace(KINDS, projections=(other,))

    def others_run(*_: int) -> None:
        checkpoint("shop_items", elsewhere, every=41, catalog=catalogs[1])

    first = checkpoint("shop_items", world.settings, every=41, catalog=catalogs[0], on_progress=others_run)
    assert first.checkpoints == FACTS // 41
    for _ in range(30):
        world.objects.age(3600)
        assert checkpoint("shop_items", world.settings, every=41, catalog=catalogs[0]).made == 0
        assert checkpoint("shop_items", elsewhere, every=41, catalog=catalogs[1]).made == 0
    for projection in (ITEMS, other):
        assert_whole(world, projection)


def test_of_two_runs_of_one_fold_the_later_loses_its_work_alone(world: World, tmp_path: Path) -> None:
    elsewhere = world.settings.model_copy(update={"home": tmp_path / "other"})
    ran: list[Checkpointed] = []

    def other_run(*_: int) -> None:
        ran.append(checkpoint("shop_stock", elsewhere, every=30, catalog=world.catalog))

    with pytest.raises(Overtaken, match="another run"):
        made(world, STOCK, on_progress=other_run)
    kept = checkpoints_of(STOCK, world.settings)
    assert kept is not None
    assert len(kept.index().checkpoints) == ran[0].checkpoints == 1 + (FACTS - 41) // 30
    assert_whole(world, STOCK)
    assert made(world, STOCK, every=30).made == 0


def test_an_index_that_another_run_writes_at_the_same_moment_stays(world: World, tmp_path: Path) -> None:
    elsewhere = world.settings.model_copy(update={"home": tmp_path / "other"})
    put_new = MemoryObjects.put_new

    def overtaken(objects: MemoryObjects, key: str, data: bytes) -> bool:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(MemoryObjects, "put_new", put_new)
            checkpoint("shop_stock", elsewhere, every=30, catalog=world.catalog)
        return put_new(objects, key, data)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(MemoryObjects, "put_new", overtaken)
        with pytest.raises(Overtaken):
            made(world, STOCK)
    assert_whole(world, STOCK)
    assert made(world, STOCK, every=30).made == 0


def test_a_run_that_goes_on_while_all_begins_anew_breaks_nothing(world: World, tmp_path: Path) -> None:
    """It may even write an index yet: one of the generation before counts no more."""
    made(world, STOCK, every=90)
    world.objects.age(UNNAMED_KEPT_S + 1)
    elsewhere = world.settings.model_copy(update={"home": tmp_path / "other"})
    put_new = MemoryObjects.put_new

    def begun_anew(objects: MemoryObjects, key: str, data: bytes) -> bool:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(MemoryObjects, "put_new", put_new)
            checkpoint("shop_stock", elsewhere, every=200, fresh=True, catalog=world.catalog)
        return put_new(objects, key, data)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(MemoryObjects, "put_new", begun_anew)
        assert made(world, STOCK, every=40).made == 1, "it has noticed nothing"
    kept = checkpoints_of(STOCK, world.settings)
    assert kept is not None
    assert [each.number for each in kept.index().checkpoints] == [1, 2]
    assert_whole(world, STOCK)
    assert made(world, STOCK, every=200).made == 0


def test_files_that_no_index_names_go_after_a_day(world: World) -> None:
    made(world, STOCK, every=90)
    before = {name for name in world.objects.kept if name.endswith(".parquet")}
    made(world, STOCK, every=41, fresh=True)
    assert before <= world.objects.kept.keys(), "a reader may have the index of before"
    world.objects.age(UNNAMED_KEPT_S + 1)
    made(world, STOCK, every=41)
    kept = checkpoints_of(STOCK, world.settings)
    assert kept is not None
    left = {name.rpartition("/")[2] for name in world.objects.kept if name.endswith(".parquet")}
    assert left == {f"{digest}.parquet" for digest in kept.index().files}
    assert_whole(world, STOCK)


def assert_whole(world: World, projection: Projection) -> None:
    """Every file that is named is there, and reads from checkpoints are the fold of the log."""
    kept = checkpoints_of(projection, world.settings)
    assert kept is not None
    index = kept.index()
    rows = MemoryRows(projection.model)
    for key, columns in kept.every_row(index, len(index.checkpoints)):
        rows.seed(key, columns)
    last = Position(progress_of(index.checkpoints[-1]))
    assert sorted(map(canonical, rows.scan())) == folded(world, projection, last)
    there = {name.rpartition("/")[2] for name in world.objects.kept}
    assert {f"{digest}.parquet" for digest in index.files} <= there


def test_what_a_reader_keeps_of_files_is_bounded_over_all_models(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for projection in KINDS.projections:
        made(world, projection)
    limit = 8_000
    bounded = Unpacked(limit)
    monkeypatch.setattr("projections.nearest.Unpacked", lambda: bounded)
    read = MemoryObjects.get
    files: list[str] = []
    monkeypatch.setattr(MemoryObjects, "get", lambda objects, key: (files.append(key), read(objects, key))[1])
    point = START + timedelta(minutes=FACTS)
    with Reader(world.settings, catalog=world.catalog, stores=world.stores) as reader:
        for projection in KINDS.projections:
            reader.read(projection.model.name, as_of=point)
            assert 0 < bounded.bytes <= limit
        assert len([name for name in files if name.endswith(".parquet")]) > 3 * bounded.count > 0
    assert UNPACKED_BYTES < 2**28
