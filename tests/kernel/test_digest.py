"""Equal digests mean equal rows, in whatever order they come."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.digest import canonical, digest, plain

values = st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.integers().map(Decimal))
some_rows = st.lists(st.dictionaries(st.text(max_size=3), values, max_size=3), max_size=6)


@given(some_rows, st.randoms())
def test_the_order_of_rows_does_not_matter(rows: list[dict[str, Any]], draw: random.Random) -> None:
    mixed = list(rows)
    draw.shuffle(mixed)
    assert digest(mixed) == digest(rows)


@given(some_rows, some_rows)
def test_other_rows_have_another_digest(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> None:
    same = sorted(map(canonical, a)) == sorted(map(canonical, b))
    assert (digest(a) == digest(b)) == same


def test_a_row_that_is_there_twice_is_not_a_row_that_is_there_once() -> None:
    row = {"a": 1}
    assert len({digest([]), digest([row]), digest([row, row]), digest([row, row, row])}) == 4
    assert digest([row, row]) != digest([{"a": 2}, {"a": 2}])


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (Decimal("1.50"), Decimal("1.5")),
        (Decimal("1E+2"), Decimal(100)),
        (datetime(2024, 1, 1, 12, tzinfo=UTC), datetime(2024, 1, 1, 14, tzinfo=timezone(timedelta(hours=2)))),
        ({"x": 1, "y": 2}, {"y": 2, "x": 1}),
        ((1, 2), [1, 2]),
    ],
)
def test_the_same_value_has_the_same_digest_however_a_store_keeps_it(a: Any, b: Any) -> None:
    assert digest([{"v": a}]) == digest([{"v": b}])


@pytest.mark.parametrize(("a", "b"), [(None, ""), (0, None), (1, Decimal(1)), ({}, None), ("1", 1), (True, 1)])
def test_values_that_only_look_alike_have_different_digests(a: Any, b: Any) -> None:
    assert digest([{"v": a}]) != digest([{"v": b}])


def test_money_and_times_are_text() -> None:
    assert plain({"a": [Decimal("2.50")], "t": datetime(2024, 1, 1, tzinfo=UTC)}) == {
        "a": ["2.5"],
        "t": "2024-01-01T00:00:00.000000Z",
    }


def test_the_digest_of_nothing_is_nothing() -> None:
    assert digest([]) == (0, "0" * 64)
