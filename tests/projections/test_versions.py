"""Verifications, replays, rollbacks, repairs and files, on the store in memory."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from eventlog.digest import canonical, digest
from eventlog.errors import BadInput, NotFound, OnefactError, ServiceAway
from eventlog.operations import Add, Change, Put, coalesce
from eventlog.position import Position
from eventlog.roles import Projection
from projections.compare import Comparison
from projections.folding import HistoryGone
from projections.progress import ReplayProgress
from projections.replay import Paused, replay
from projections.results import ReplayResult
from projections.rollback import rollback
from projections.verify import Verified, verify
from tests.projections.kinds import KINDS, SHELF, STOCK
from tests.projections.shop import EVENTS, ITEMS, Counted
from tests.projections.world import MemoryLog, World

START = datetime.fromisoformat("2026-03-01T09:00:00+00:00")
FACTS = 240


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(tmp_path, KINDS)
    made.patch(monkeypatch)
    more(made, FACTS)
    return made


def more(world: World, count: int, shops: str = "abcde") -> None:
    rng, begun = random.Random(count), sum(map(len, world.records.values()))
    for number in range(begun, begun + count):
        fact = Counted(shop=rng.choice(shops), item=rng.choice("xyz"), quantity=Decimal(rng.randrange(-8, 20)) / 4)
        world.append(EVENTS, fact, START + timedelta(minutes=number))


def verified(world: World, projection: Projection, **options: Any) -> Verified:
    return verify(projection.model.name, world.settings, catalog=world.catalog, stores=world.stores, **options)


def replayed(world: World, projection: Projection, **options: Any) -> ReplayResult:
    return replay(projection.model.name, world.settings, catalog=world.catalog, stores=world.stores, **options)


def rolled_back(world: World, projection: Projection, **options: Any) -> ReplayResult:
    return rollback(projection.model.name, world.settings, catalog=world.catalog, stores=world.stores, **options)


def by_hand(world: World, projection: Projection, changes: dict[Any, Change]) -> None:
    """Change rows behind the model's back."""
    place = (EVENTS.name, 0)
    sink = world.store.sink(projection.model, *place)
    sink.apply(changes, sink.open())


def rows(world: World, projection: Projection) -> list[bytes]:
    return sorted(map(canonical, world.store.scan(projection.model)))


def doubled(world: World, projection: Projection) -> Projection:
    """Another fold: of one item twice the quantity."""

    def on(event: Counted, meta: object) -> Iterator[Any]:
        twice = replace_quantity(event) if event.item == "x" else event
        yield from projection.on(twice, meta)  # type: ignore[arg-type]

    return replace(projection, on=on)  # type: ignore[arg-type]


def replace_quantity(event: Counted) -> Counted:
    return Counted(shop=event.shop, item=event.item, quantity=event.quantity * 2)


@pytest.mark.parametrize("projection", KINDS.projections, ids=lambda p: p.model.name)
def test_every_kind_of_model_is_verified_and_replayed(world: World, projection: Projection) -> None:
    world.apply(projection)
    before = rows(world, projection)
    found = verified(world, projection)
    assert (found.identical, found.rows) == (True, len(before))
    assert found.digest_folded == found.digest_live == digest(world.store.scan(projection.model))[1]
    seen: list[ReplayProgress] = []
    result = replayed(world, projection, on_progress=seen.append)
    assert (result.identical, result.switched, rows(world, projection)) == (True, True, before)
    assert all(at == end for at, end in seen[-1].partitions.values())
    assert [p.phase for p in seen if p.phase != "building"] == ["comparing", "switching"]


def test_what_was_changed_by_hand_is_named_by_kind(world: World) -> None:
    world.apply(STOCK, {(EVENTS.name, 1): 20})  # not all of the log: it is held against where it stands
    shop, item = next((row["shop"], row["item"]) for row in world.store.scan(STOCK.model))
    missing = next(key for row in world.store.scan(STOCK.model) if (key := (row["shop"], row["item"])) != (shop, item))
    gone = Change()
    gone.remove()
    by_hand(
        world, STOCK, {**coalesce([Put((shop, item), {"quantity": Decimal(99)}), Put(("z", "x"), {})]), missing: gone}
    )
    found = verified(world, STOCK)
    assert (found.changed, found.missing, found.extra, found.differing) == (1, 1, 1, 3)
    assert {(d.key, d.kind) for d in found.differences} == {
        ((shop, item), "changed"),
        (missing, "missing"),
        (("z", "x"), "extra"),
    }
    (changed,) = (d for d in found.differences if d.kind == "changed")
    assert changed.columns == ["quantity"]
    in_parts = verified(world, STOCK, passes=5)
    assert (in_parts.differences, in_parts.differing) == (found.differences, 3)
    assert (in_parts.rows, in_parts.digest_folded, in_parts.digest_live) == (
        found.rows,
        found.digest_folded,
        found.digest_live,
    )


def test_what_cannot_be_verified(world: World) -> None:
    with pytest.raises(NotFound, match="no read model 'shelves'; there are shop_stock"):
        verify("shelves", world.settings, catalog=KINDS, stores=world.stores)
    with pytest.raises(BadInput, match="one pass or more"):
        verified(world, STOCK, passes=0)


def test_a_log_whose_beginning_is_gone_is_held_against_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.apply(STOCK)
    monkeypatch.setattr(MemoryLog, "bounds", lambda *_: (5, 80))
    for run in (verified, replayed):
        with pytest.raises(HistoryGone, match="begins at 5"):
            run(world, STOCK)
    assert world.store.versions(STOCK.model) == [1]


def test_many_differences_are_counted_and_some_are_shown(world: World) -> None:
    world.apply(STOCK)
    rows = list(world.store.scan(STOCK.model))
    by_hand(world, STOCK, coalesce([Add((row["shop"], row["item"]), {"facts": 1}) for row in rows]))
    found = verified(world, STOCK)
    assert (found.changed, len(found.differences)) == (len(rows), 10)
    result = replayed(world, STOCK)
    assert (result.switched, result.changed, len(result.sample), len(result.differences)) == (False, len(rows), 10, 10)


def test_a_changed_fold_is_shown_before_it_goes_live_and_taken_back(world: World) -> None:
    world.apply(ITEMS)
    old = rows(world, ITEMS)
    other = doubled(world, ITEMS)
    world.catalog = replace(KINDS, projections=(other,))
    refused = replayed(world, other)
    assert (refused.switched, refused.identical, refused.differences) == (False, False, [("x",)])
    assert rows(world, ITEMS) == old
    shown: list[Comparison] = []

    def look(found: Comparison) -> bool:
        assert rows(world, ITEMS) == old, "shown before anything is switched"
        shown.append(found)
        return len(shown) > 1

    assert not replayed(world, other, accept_differences=True, on_difference=look).switched
    switched = replayed(world, other, accept_differences=True, on_difference=look)
    assert (switched.switched, switched.version, switched.records) == (True, refused.version, 0)
    assert [(d.key, d.kind, d.columns) for d in shown[1].sample] == [(("x",), "changed", ["quantity"])]
    new = rows(world, ITEMS)
    assert new != old
    # Nothing came since: it may be taken back, and forth again, by whatever code.
    assert rolled_back(world, other).version == refused.previous
    assert rows(world, ITEMS) == old
    assert rolled_back(world, other).version == refused.version
    assert rows(world, ITEMS) == new


def test_what_came_since_is_not_folded_into_the_old_version_by_other_code(world: World) -> None:
    world.apply(ITEMS)
    other = doubled(world, ITEMS)
    world.catalog = replace(KINDS, projections=(other,))
    switched = replayed(world, other, accept_differences=True)
    more(world, 30)
    world.apply(other)
    live = rows(world, ITEMS)
    with pytest.raises(OnefactError, match=r"was folded by other code than is installed here.*--expect-change"):
        rolled_back(world, other)
    assert (rows(world, ITEMS), world.store.live_version(ITEMS.model)) == (live, switched.version)
    # With the code of then it is what it would have been.
    world.catalog = KINDS
    back = rolled_back(world, ITEMS)
    assert (back.version, back.records) == (switched.previous, 30)
    assert Position.parse(back.began_at).offsets != Position.parse(back.position).offsets
    assert verified(world, ITEMS).identical
    # And forth again it needs the other code again.
    more(world, 5)
    world.apply(ITEMS)
    with pytest.raises(OnefactError, match="other code"):
        rolled_back(world, ITEMS)
    mixed = rolled_back(world, ITEMS, accept_differences=True)
    assert (mixed.version, mixed.records) == (switched.version, 5)
    more(world, 5)
    world.apply(other)
    rolled_back(world, ITEMS)
    more(world, 5)
    world.apply(ITEMS)
    world.catalog = replace(KINDS, projections=(other,))
    with pytest.raises(OnefactError, match="other code"):  # of two folds: no code is that version's
        rolled_back(world, other)


def test_a_rollback_without_notes_takes_the_newest_older_version(world: World) -> None:
    world.apply(SHELF)
    with pytest.raises(NotFound, match="no version of shop_shelf beside 1"):
        rolled_back(world, SHELF)
    for _ in range(2):
        replayed(world, SHELF)
    assert world.store.versions(SHELF.model) == [2, 3]
    (world.settings.home / "replays" / "shop_shelf.json").unlink()
    more(world, 9)
    world.apply(SHELF)
    assert (rolled_back(world, SHELF).version, rolled_back(world, SHELF).version) == (2, 3)
    assert verified(world, SHELF).identical


def test_a_process_that_died_between_switch_and_note(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.apply(SHELF)
    replayed(world, SHELF)
    _dies_after(world, monkeypatch, "switch")
    assert (world.store.live_version(SHELF.model), world.store.versions(SHELF.model)) == (3, [1, 2, 3])
    assert [rolled_back(world, SHELF).version for _ in range(3)] == [2, 3, 2]
    assert replayed(world, SHELF).version == 4, "what has been live is not built on"
    assert world.store.versions(SHELF.model) == [2, 4]


def test_a_process_that_died_when_it_had_made_a_version(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.apply(SHELF)
    _dies_after(world, monkeypatch, "create_version")
    assert world.store.versions(SHELF.model) == [1, 2]
    result = replayed(world, SHELF)
    assert (result.version, result.began_at) == (2, ""), "a version that has nothing is gone on with from the start"


def _dies_after(world: World, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """A replay of the shelf ends as soon as the store has done that."""
    done = getattr(world.store, step)

    def dies(*asked: Any) -> None:
        done(*asked)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(world.store, step, dies)
        with pytest.raises(KeyboardInterrupt):
            replayed(world, SHELF)


def test_paused_it_goes_on_where_it_was(world: World) -> None:
    world.apply(SHELF)
    before, seen = world.store.live_version(SHELF.model), [0]

    def stop(progress: ReplayProgress) -> None:
        seen[0] += 1
        if progress.phase == "comparing":
            raise KeyboardInterrupt

    with pytest.raises(Paused, match=r"version 2 of shop_shelf stands at shop.events:0:\d+"):
        replayed(world, SHELF, on_progress=stop)
    assert world.store.live_version(SHELF.model) == before
    more(world, 12)
    world.apply(SHELF)
    result = replayed(world, SHELF)
    assert (result.version, result.records, result.identical) == (2, 12, True)
    assert sum(Position.parse(result.began_at).offsets.values()) == FACTS


@pytest.mark.parametrize("stopped", ["fold", "part", "fresh"])
def test_what_is_to_be_something_else_is_begun_anew(world: World, stopped: str) -> None:
    world.apply(ITEMS)

    def stop(progress: ReplayProgress) -> None:
        if progress.phase == "comparing":
            raise KeyboardInterrupt

    with pytest.raises(Paused):
        replayed(world, ITEMS, on_progress=stop)
    match stopped:
        case "fold":
            other = doubled(world, ITEMS)
            world.catalog = replace(KINDS, projections=(other,))
            result = replayed(world, other)
        case "part":
            result = replayed(world, ITEMS, until=START + timedelta(minutes=100))
        case _:
            result = replayed(world, ITEMS, fresh=True)
    assert result.began_at == ""
    assert result.records > 100


def test_a_store_that_goes_away_leaves_what_was_built(world: World) -> None:
    world.apply(SHELF)

    def away(progress: ReplayProgress) -> None:
        if progress.phase == "comparing":
            raise ServiceAway("memory", "gone")

    with pytest.raises(ServiceAway):
        replayed(world, SHELF, on_progress=away)
    assert replayed(world, SHELF).records == 0


def test_any_other_failure_leaves_nothing(world: World) -> None:
    world.apply(SHELF)

    def fail(progress: ReplayProgress) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        replayed(world, SHELF, on_progress=fail)
    assert world.store.versions(SHELF.model) == [1]
