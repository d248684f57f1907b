"""The law of every store: however operations are split into batches, its rows are those of the one-by-one fold."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventlog.decimals import DIGITS_MAX, PLACES
from eventlog.digest import digest
from eventlog.errors import Fenced
from eventlog.memory import MemoryRows
from eventlog.models import ColumnType, Feed, Hash, Model, SortedSet, Table
from eventlog.operations import Add, Append, Newest, Operation, Push, Put, Remove, coalesce
from eventlog.settings import Settings
from projections.keys import row_key
from projections.stores import open_store
from projections.stores.postgres import _batch
from tests.stores.conftest import fresh_name

VALUES: dict[ColumnType, tuple[ColumnType, ...]] = {
    name: (name,) for name in ("text", "integer", "decimal", "boolean", "time")
}
COLUMNS: dict[str, ColumnType] = {f"a_{name}": name for name in VALUES} | {"more": "decimal"}
NUMBERS = ("integer", "decimal")
NEWEST: dict[str, ColumnType] = {
    "at": "time", "rank": "integer", "id": "text", "newest_text": "text", "newest_decimal": "decimal",
}  # fmt: skip
"""Columns that are the newest fact's, the first three of which say which one that is."""
BY = ("at", "rank", "id")
ANY = {
    "text": st.text(max_size=6),
    "integer": st.integers(-(2**40), 2**40),
    "decimal": st.decimals(
        min_value=-(10 ** (DIGITS_MAX - PLACES)) + 1,
        max_value=10 ** (DIGITS_MAX - PLACES) - 1,
        places=PLACES,
    )
    | st.integers(-(10**20), 10**20)
    | st.sampled_from([Decimal(0), Decimal("1E+3"), Decimal("-0.0"), Decimal("1.10")]),
    "boolean": st.booleans(),
    "time": st.datetimes(timezones=st.just(UTC)),
}


def table() -> Table:
    return Table(fresh_name("fold"), ("key", "number"), {"key": "text", "number": "integer", **COLUMNS, **NEWEST})


def hashes() -> Hash:
    maps: dict[str, ColumnType] = {"held": "decimal", "named": "text"}
    return Hash(fresh_name("fold"), ("key",), {"key": "text", **COLUMNS, **NEWEST, "held": "decimal"}, maps=maps)


def scores() -> SortedSet:
    return SortedSet(fresh_name("fold"), ("key",), {"key": "text", "score": "decimal"}, score="score")


def feeds() -> Feed:
    return Feed(fresh_name("fold"), ("key",), {"key": "text", "entries": "text"}, entry=COLUMNS, limit=3)


CASES = {
    "memory-table": ("memory", table),
    "memory-hash": ("memory", hashes),
    "memory-scores": ("memory", scores),
    "memory-feed": ("memory", feeds),
    "postgres-table": ("postgres", table),
    "postgres-copy": ("postgres", table),
    "redis-hash": ("redis", hashes),
    "redis-scores": ("redis", scores),
    "redis-feed": ("redis", feeds),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Model]]:
    if request.param == "postgres-copy":
        monkeypatch.setattr(_batch, "COPY_ROWS_MIN", 1)
    name, make = CASES[request.param]
    where: Settings = Settings() if name == "memory" else request.getfixturevalue("scratch")
    store, model = open_store(name, where), make()
    store.prepare([model])
    yield store, model
    store.close()


def writable(model: Model) -> dict[str, ColumnType]:
    """What an operation may name: columns that are neither key nor map, and entries of maps."""
    maps = model.maps if isinstance(model, Hash) else {}
    names = {name: kind for name, kind in model.columns.items() if name not in (*model.key, *maps, *NEWEST)}
    return names | {f"{name}.{entry}": kind for name, kind in maps.items() for entry in ("A", "B.C", "é: {}", "")}


@st.composite
def batches(draw: st.DrawFn, model: Model) -> list[list[Operation]]:
    """Operations on few keys, so that they meet, split anywhere."""
    keys = draw(st.lists(st.tuples(*(ANY[model.columns[name]] for name in model.key)), min_size=1, max_size=4))
    if isinstance(model, Feed):
        entries = st.fixed_dictionaries({}, optional={name: st.none() | ANY[kind] for name, kind in COLUMNS.items()})
        push = st.builds(Push, st.sampled_from(keys), entries, ANY["time"])
        return draw(st.lists(st.lists(push | st.builds(Remove, st.sampled_from(keys)), max_size=8), max_size=6))
    columns = writable(model)
    puts = st.dictionaries(st.sampled_from(sorted(columns)), st.none(), max_size=4).flatmap(
        lambda names: st.fixed_dictionaries({name: st.none() | ANY[columns[name]] for name in names})
    )
    numbers = [name for name, kind in columns.items() if kind in NUMBERS]
    adds = st.dictionaries(st.sampled_from(numbers), st.none(), min_size=1, max_size=3).flatmap(
        lambda names: st.fixed_dictionaries({name: ANY[columns[name]] for name in names})
    )
    newest = st.fixed_dictionaries(
        {
            "at": st.sampled_from([datetime(1, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, 12, 0, 0, 5, tzinfo=UTC)]),
            "rank": st.sampled_from([-(2**63), -1, 0, 2**63 - 1]),
            "id": st.text(st.sampled_from("a\0b\u2400\u241bé"), max_size=3),
            **{name: st.none() | ANY[NEWEST[name]] for name in ("newest_text", "newest_decimal")},
        }
    )
    operation = st.one_of(
        *(() if isinstance(model, SortedSet) else (st.builds(Newest, st.sampled_from(keys), newest, st.just(BY)),)),
        st.builds(Put, st.sampled_from(keys), puts),
        st.builds(Add, st.sampled_from(keys), adds),
        st.builds(Append, st.sampled_from(keys), puts),
        st.builds(Remove, st.sampled_from(keys)),
    )
    return _valid(draw(st.lists(st.lists(operation, max_size=8), max_size=6)))


def _valid(drawn: list[list[Operation]]) -> list[list[Operation]]:
    """Rows are appended only where there are none: that is the caller's promise."""
    there: set[Any] = set()
    for batch in drawn:
        for place, operation in enumerate(batch):
            if isinstance(operation, Append) and operation.key in there:
                batch[place] = Put(operation.key, operation.values)
            if isinstance(operation, Remove):
                there.discard(operation.key)
            else:
                there.add(operation.key)
    return drawn


@settings(
    max_examples=120,
    deadline=None,
    derandomize=False,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_split_into_batches_gives_the_fold(case: tuple[Any, Model], data: st.DataObject) -> None:
    store, model = case
    drawn = data.draw(batches(model))
    reference = MemoryRows(model)
    version = store.create_version(model)
    sink = store.sink(model, "facts", 0, version)
    position = sink.open()
    try:
        for batch in drawn:
            for operation in batch:
                reference.apply(coalesce([operation]))
            if data.draw(st.integers(0, 4), label="another owner takes over at 4") == 4:
                assert sink.open() == position
            sink.apply(coalesce(batch), position + 1)
            position += 1
        wanted, found = list(reference.scan()), list(store.scan(model, version))
        if not isinstance(model, SortedSet):  # each store has an order of its own
            for rows in (wanted, found):
                rows.sort(key=lambda row: row_key(model, row))
        assert found == wanted
        assert digest(found) == digest(wanted)
        for batch in drawn:
            for operation in batch:
                assert store.get(model, operation.key, version) == reference.get(operation.key)
    finally:
        sink.close()
        store.drop_version(model, version)


def test_the_fold_notices_a_lost_fence(case: tuple[Any, Model]) -> None:
    """The law's own fixture works: a batch applied twice would not pass as once."""
    store, model = case
    sink = store.sink(model, "facts", 0)
    sink.open()
    again = store.sink(model, "facts", 0)
    again.open()
    again.apply({}, 1)
    with pytest.raises(Fenced):
        sink.apply({}, 1)
    sink.close()
    again.close()
