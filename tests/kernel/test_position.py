"""Positions are vectors, compared and joined part by part."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.errors import BadInput
from eventlog.position import Position

names = st.text("abc.-:_", min_size=1, max_size=12)
offsets = st.dictionaries(st.tuples(names, st.integers(0, 99)), st.integers(0, 2**62), max_size=6)
positions = offsets.map(Position)


@given(positions)
def test_a_position_is_read_back_from_its_text(position: Position) -> None:
    assert Position.parse(str(position)) == position


@pytest.mark.parametrize("text", ["x", "t:0", "t:0:x", "t:x:0", ":0:5", "t:-1:5", "t:0:-5", "t:0:1.5"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="not a position"):
        Position.parse(text)


def test_a_partition_that_is_not_named_is_at_its_start() -> None:
    assert Position().covers(Position.of("t", 0, 0))
    assert not Position().covers(Position.of("t", 0, 1))
    assert Position.of("t", 0, 5).covers(Position())


def test_topics_and_partitions_are_told_apart() -> None:
    assert not Position.of("t", 0, 5).covers(Position.of("t", 1, 5))
    assert not Position.of("t", 0, 5).covers(Position.of("u", 0, 5))
    assert list(Position({("b", 1): 2, ("a", 0): 1})) == [("a", 0, 1), ("b", 1, 2)]


@given(positions, positions, positions)
def test_a_join_is_the_least_that_covers_both(a: Position, b: Position, c: Position) -> None:
    joined = a.join(b)
    assert joined.covers(a)
    assert joined.covers(b)
    if c.covers(a) and c.covers(b):
        assert c.covers(joined)
    assert a.join(a).offsets == a.offsets
    assert a.join(b).offsets == b.join(a).offsets
