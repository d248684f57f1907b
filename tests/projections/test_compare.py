"""Comparing with a live model that moves exactly while it is read: what moved is read again, what is wrong is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from eventlog.digest import digest
from eventlog.models import Hash, Key, Model, Row
from eventlog.operations import Add, Append, Change, Operation, coalesce
from eventlog.sink import Progress
from projections import compare
from projections.compare import Comparer, Comparison, Moving, part_of_keys
from projections.folding import Touched
from projections.stores.memory import MemorySink, MemoryStore

MODEL = Hash("moving", ("id",), {"id": "text", "facts": "integer"})
PLACE = ("facts", 0)


@pytest.fixture(autouse=True, params=[None, 3], ids=["at once", "in parts"])
def parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All rows may be held at a time, or about three."""
    if request.param:
        monkeypatch.setattr(compare, "KEYS_MAX", request.param)


class RestlessStore(MemoryStore):
    """Its live version moves on whenever it is read, as often as the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.on_scan: Callable[[], None] = lambda: None
        self.on_get: Callable[[Key], None] = lambda _: None

    def scan(self, model: Model, version: int | None = None) -> Iterator[Row]:
        yield from super().scan(model, version)
        if version == 1:
            self.on_scan()

    def get(self, model: Model, key: Key, version: int | None = None) -> Row | None:
        found = super().get(model, key, version)
        if version == 1:
            self.on_get(key)
        return found


class Folding:
    """A rebuild without a log: the facts are a list, the position is how many of them are in."""

    def __init__(self, store: MemoryStore, facts: list[Operation]) -> None:
        self.model = MODEL
        self.version = store.create_version(MODEL)
        self._facts = facts
        self._store = store
        self._sink: MemorySink = store.sink(MODEL, *PLACE, self.version)
        self._at = self._sink.open()

    def fold(self, target: Progress, *, touched: Touched | None = None) -> None:
        end = target.get(PLACE, 0)
        changes: dict[Key, Change] = coalesce(self._facts[self._at : end])
        if touched is not None:
            touched.note(changes)
        self._sink.apply(changes, end)
        self._at = end

    def rows(self) -> Iterator[Row]:
        return self._store.scan(MODEL, self.version)

    def row(self, key: Key) -> Row | None:
        return self._store.get(MODEL, key, self.version)


class Moved:
    """A live version of ten rows, and a rebuild of it."""

    def __init__(self) -> None:
        self.store = RestlessStore()
        self.store.prepare([MODEL])
        self.facts: list[Operation] = [Add((f"row-{n}",), {"facts": 1}) for n in range(10)]
        self._sink = self.store.sink(MODEL, *PLACE)
        self._at = self._sink.open()
        self.advance()
        self.rebuild = Folding(self.store, self.facts)

    def advance(self, *facts: Operation) -> None:
        """Live takes these facts, and all that it has not taken yet."""
        self.facts.extend(facts)
        self._sink.apply(coalesce(self.facts[self._at :]), len(self.facts))
        self._at = len(self.facts)

    def spoil(self, key: str, by: int = 100) -> None:
        """Live gets what no fact says."""
        self._sink.apply(coalesce([Add((key,), {"facts": by})]), self._at)

    def compare(self) -> Comparison:
        return Comparer(self.store, 1, self.rebuild).compare()


def again(key: str) -> Operation:
    return Add((key,), {"facts": 1})


def test_at_rest_one_look_is_enough() -> None:
    moved = Moved()
    found = moved.compare()
    assert (found.identical, found.rows, found.digest_live) == (True, 10, found.digest_rebuilt)


def test_a_row_that_changes_at_every_look_for_a_while_is_looked_at_until_it_rests() -> None:
    moved, left = Moved(), [20]

    def go_on(key: Key) -> None:
        if left[0] > 0:
            left[0] -= 1
            moved.advance(again(str(key[0])))

    moved.store.on_scan = lambda: moved.advance(again("row-3"), again("row-7"))
    moved.store.on_get = go_on
    found = moved.compare()
    assert found.identical
    assert left == [0]


def test_a_wrong_row_that_moves_is_found() -> None:
    moved, left = Moved(), [3]
    moved.spoil("row-3")

    def go_on(key: Key) -> None:
        if left[0] > 0:
            left[0] -= 1
            moved.advance(again(str(key[0])))

    moved.store.on_scan = lambda: moved.advance(again("row-3"), again("row-4"))
    moved.store.on_get = go_on
    found = moved.compare()
    assert (found.differing, found.named) == (1, [("row-3",)])


def test_a_wrong_row_that_rests_while_others_move_is_found() -> None:
    moved = Moved()
    moved.spoil("row-5")
    moved.store.on_scan = lambda: moved.advance(again("row-3"))
    found = moved.compare()
    assert (found.differing, found.named) == (1, [("row-5",)])
    assert found.digest_live != found.digest_rebuilt


def test_rows_that_are_made_meanwhile_are_no_difference_and_need_no_second_look() -> None:
    moved, looks = Moved(), list[Key]()
    moved.store.on_scan = lambda: moved.advance(*(Append((f"new-{len(moved.facts)}-{n}",), {}) for n in range(30)))
    moved.store.on_get = looks.append
    found = moved.compare()
    assert found.identical
    assert found.digest_live == found.digest_rebuilt
    assert not looks


def test_a_wrong_row_is_found_although_it_looks_right_at_another_position() -> None:
    moved = Moved()
    moved.spoil("row-3", by=1)  # as if it were one fact ahead, and one comes while it is read
    moved.store.on_scan = lambda: moved.advance(again("row-3"))
    found = moved.compare()
    assert (found.differing, found.named) == (1, [("row-3",)])


def test_a_row_that_only_live_has_is_named() -> None:
    moved = Moved()
    moved.spoil("nobody")
    found = moved.compare()
    assert (found.differing, found.named) == (1, [("nobody",)])


def test_a_row_that_never_rests_is_given_up_on() -> None:
    moved = Moved()
    moved.store.on_scan = lambda: moved.advance(again("row-3"))
    moved.store.on_get = lambda key: moved.advance(again(str(key[0])))
    with pytest.raises(Moving):
        moved.compare()


def test_rows_are_held_a_part_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    moved, held = Moved(), list[int]()
    monkeypatch.setattr(compare, "KEYS_MAX", 3)
    hashes = Comparer._hashes

    def counted(self: Comparer, *asked: Any) -> dict[Key, bytes]:
        found = hashes(self, *asked)
        held.append(len(found))
        return found

    monkeypatch.setattr(Comparer, "_hashes", counted)
    for key in ("row-1", "row-2", "row-6", "nobody"):
        moved.spoil(key)
    found = moved.compare()
    assert (found.counts, found.rows) == ({"changed": 3, "extra": 1}, 10)
    assert found.named == [("nobody",), ("row-1",), ("row-2",), ("row-6",)]
    assert found.digest_live == digest(moved.store.scan(MODEL))[1]
    assert found.digest_rebuilt == digest(moved.rebuild.rows())[1]
    assert sum(held) == 10 + 11
    assert max(held) < 10


class Part(Folding):
    """A fold that holds a part of the keys."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.keep = part_of_keys(1, 2)

    def rows(self) -> Iterator[Row]:
        return (row for row in super().rows() if self.keep((row["id"],)))

    def row(self, key: Key) -> Row | None:
        return super().row(key) if self.keep(key) else None


def test_rows_of_another_part_that_move_are_not_looked_at() -> None:
    moved = Moved()
    fold = Part(moved.store, moved.facts)
    own = {(f"row-{n}",) for n in range(10) if fold.keep((f"row-{n}",))}
    assert 0 < len(own) < 10
    moved.store.on_scan = lambda: moved.advance(*(again(f"row-{n}") for n in range(10)))
    assert Comparer(moved.store, 1, fold, fold.keep).compare().identical
