"""A row that several streams write to is the newest fact's, in whatever order their partitions are read."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from eventlog.models import ColumnType, Hash, Model, SortedSet, Table
from eventlog.operations import Add, Newest, Operation, Put, Remove, coalesce
from tests.stores.conftest import Subject, _subject, fresh_name

COLUMNS: dict[str, ColumnType] = {
    "id": "text", "name": "text", "team": "text", "as_of": "time", "fact": "text", "cards": "integer",
}  # fmt: skip
NOON = datetime(2006, 1, 2, 12, tzinfo=UTC)
BY = ("as_of", "fact")


@pytest.fixture(params=["memory", "postgres", "redis"])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """The stores that know the newest."""
    yield from _subject(request.param, request)


def players(subject: Subject) -> Model:
    model = (Hash if subject.name == "redis" else Table)(fresh_name("newest"), ("id",), COLUMNS)
    subject.store.prepare([model])
    return model


def seen(name: str | None, hour: int, fact: str = "m:1", team: str | None = "T") -> Newest:
    values = {"name": name, "team": team, "as_of": NOON + timedelta(hours=hour), "fact": fact}
    return Newest(("p",), values, BY)


def name_of(subject: Subject, model: Model) -> Any:
    row = subject.store.get(model, ("p",))
    assert row is not None
    return row["name"]


FACTS = [seen("first", -1), seen("second", 0, "m:9"), seen("third", 0, "n:1"), seen("fourth", 0, "n:1\x00"),
         seen("fifth", 1, "a:1", None)]  # fmt: skip


def test_any_order_and_any_batches_give_the_newest(subject: Subject) -> None:
    for order in itertools.islice(itertools.permutations(FACTS), 0, None, 7):
        for cut in (0, 2, 5):
            model = players(subject)
            sink, _ = subject.opened(model)
            sink.apply(coalesce(order[:cut]), 1)
            sink.apply(coalesce(order[cut:]), 2)
            row = subject.store.get(model, ("p",))
            assert row == {"id": "p", **FACTS[-1].values, "cards": None}
            sink.close()
            if subject.name == "postgres":
                break  # every model is a table of its own, which takes its time


def test_text_tells_facts_of_one_moment_apart(subject: Subject) -> None:
    for first, second in itertools.pairwise(FACTS[1:4]):
        model = players(subject)
        sink, _ = subject.opened(model)
        for position, fact in enumerate((second, first, second), 1):
            sink.apply(coalesce([fact]), position)
        assert name_of(subject, model) == second.values["name"]


def test_what_is_added_or_put_beside_it_always_counts(subject: Subject) -> None:
    model = players(subject)
    sink, _ = subject.opened(model)
    sink.apply(coalesce([Add(("p",), {"cards": 1})]), 1)
    sink.apply(coalesce([Add(("p",), {"cards": 1}), seen("new", 5)]), 2)
    sink.apply(coalesce([Add(("p",), {"cards": 1}), seen("old", 4)]), 3)
    assert subject.store.get(model, ("p",)) == {
        "id": "p", "name": "new", "team": "T", "as_of": NOON + timedelta(hours=5), "fact": "m:1", "cards": 3,
    }  # fmt: skip
    sink.apply(coalesce([Put(("p",), {"cards": 10}), seen("older", 3)]), 4)
    assert (name_of(subject, model), subject.rows(model)[0]["cards"]) == ("new", 10)


def test_a_newer_none_clears_and_a_removed_row_starts_anew(subject: Subject) -> None:
    model = players(subject)
    sink, _ = subject.opened(model)
    sink.apply(coalesce([seen("a", 1), seen(None, 2)]), 1)
    sink.apply(coalesce([seen("b", 1)]), 2)
    assert name_of(subject, model) is None
    sink.apply(coalesce([seen("c", 9), Remove(("p",)), seen("d", -5)]), 3)
    assert name_of(subject, model) == "d"
    sink.apply(coalesce([Remove(("p",))]), 4)
    assert subject.rows(model) == []


def test_partitions_that_write_the_same_rows_at_once(subject: Subject) -> None:
    """Both see the rows at their own time; the outcome is the newest of all, and every sum is whole."""
    model, rows, rounds = players(subject), 20, 15

    def write(partition: int) -> None:
        sink, position = subject.opened(model, partition)
        for turn in range(rounds):
            hour = turn if partition else rounds - turn
            batch: list[Operation] = []
            for n in range(rows):
                fact = seen(f"{partition}/{hour}", hour, f"{partition}")
                batch.append(fact._replace(key=(f"p{n}",)))
                if subject.name != "redis":  # where a row that has sums belongs to one partition
                    batch.append(Add((f"p{n}",), {"cards": 1}))
            sink.apply(coalesce(batch), position + 1)
            position += 1

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, (0, 1)))
    found = {(row["name"], row["as_of"], row["cards"]) for row in subject.rows(model)}
    cards = None if subject.name == "redis" else 2 * rounds
    assert found == {(f"0/{rounds}", NOON + timedelta(hours=rounds), cards)}
    assert len(subject.rows(model)) == rows


def test_one_batch_with_other_columns_is_an_error() -> None:
    other = Newest(("p",), {"name": "x", "as_of": NOON, "fact": "f"}, BY)
    with pytest.raises(TypeError, match="same columns"):
        coalesce([seen("a", 1), other])
    with pytest.raises(TypeError, match="same ones"):
        coalesce([seen("a", 1), seen("a", 1)._replace(by=("as_of",))])


def test_what_cannot_say_which_is_newer_is_an_error(redis_store: Subject) -> None:
    model = Hash(fresh_name(), ("id",), {"id": "text", "n": "decimal"})
    scores = SortedSet(fresh_name(), ("id",), {"id": "text", "n": "decimal"}, score="n")
    redis_store.store.prepare([model, scores])
    for each, said in ((model, "cannot say"), (scores, "SortedSet")):
        sink, _ = redis_store.opened(each)
        with pytest.raises(TypeError, match=said):
            sink.apply(coalesce([Newest(("p",), {"n": Decimal(1)}, ("n",))]), 1)
        assert sink.open() == 0
