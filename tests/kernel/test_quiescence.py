"""When processors pause."""

from __future__ import annotations

import pytest

from eventlog.errors import BadInput
from eventlog.quiescence import PAUSE_S, Pauses
from eventlog.settings import CUT_EVERY_S_MIN, Settings


@pytest.mark.parametrize(
    ("now", "left", "following"),
    [(0.0, PAUSE_S, 60.0), (120.2, PAUSE_S - 0.2, 59.8), (120.0 + PAUSE_S, 0.0, 60.0 - PAUSE_S), (179.0, 0.0, 1.0)],
)
def test_all_pause_at_the_same_times(now: float, left: float, following: float) -> None:
    pauses = Pauses(60.0, lambda: now)
    assert pauses.left_s == pytest.approx(left)
    assert pauses.next_s == pytest.approx(following)


def test_nobody_pauses_without_an_archive_or_where_it_is_off() -> None:
    archive = {"s3": "http://a:b@c/d"}
    for settings in (Settings(s3=""), Settings(**archive, cut_every_s=0)):
        pauses = Pauses.of(settings)
        assert (pauses.left_s, pauses.next_s) == (0.0, float("inf"))
    assert Pauses.of(Settings(**archive)).next_s <= Settings(**archive).cut_every_s


@pytest.mark.parametrize("every_s", [CUT_EVERY_S_MIN / 2, -1.0])
def test_pauses_that_would_be_most_of_the_time_are_refused(every_s: float) -> None:
    with pytest.raises(BadInput, match=r"ONEFACT_CUT_EVERY_S=.*: 0 for never, or at least 5 seconds"):
        Settings(cut_every_s=every_s)
