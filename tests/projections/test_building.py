"""How partitions are dealt out to the processes that build a version."""

from __future__ import annotations

import pytest

from projections.building import PARALLEL_OFFSETS_MIN, shares, workers_for


def test_everybody_gets_about_as_much() -> None:
    left = {("t", partition): offsets for partition, offsets in enumerate((50, 40, 30, 20, 10, 0))}
    dealt = shares(left, 2)
    assert sorted(place for places in dealt for place in places) == sorted(left)
    loads = [sum(left[place] for place in places) for places in dealt]
    assert max(loads) - min(loads) <= 10
    assert [len(places) for places in shares({("t", 0): 5}, 4)] == [1]


@pytest.mark.parametrize(
    "offsets, asked, number",
    [((10, 10), None, 1), ((10, 10), 8, 2), ((10, 0), 2, 1), ((), 3, 1), ((PARALLEL_OFFSETS_MIN, 1), 1, 1)],
)
def test_few_offsets_are_folded_here_unless_asked(offsets: tuple[int, ...], asked: int | None, number: int) -> None:
    assert workers_for({("t", place): each for place, each in enumerate(offsets)}, asked) == number
