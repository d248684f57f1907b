"""The sample is worth looking at: the same for the same seed, mostly granted, with every kind of fact."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from eventlog.discovery import catalog
from eventlog.envelope import parse_time
from eventlog.testing import run_samples
from producers import bookings
from schemas.bookings import BOOKINGS


def test_a_sample_is_what_its_seed_says() -> None:
    first, again, other = (list(bookings.sample(500, seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert len({event["id"] for event in first + other}) == 1000
    times = [parse_time(event["time"]) for event in first]
    assert all(earlier < later for earlier, later in itertools.pairwise(times))


@pytest.mark.parametrize("count", [0, 1, 2, 41])
def test_a_sample_is_as_long_as_it_was_asked_to_be(count: int) -> None:
    assert len(list(bookings.sample(count, 1))) == count


def test_a_sample_is_mostly_granted() -> None:
    log = run_samples(catalog(), 2000, 7)
    kinds = Counter(type(event) for _, event, _ in log.facts)
    assert all(kinds[cls] for cls in (*BOOKINGS.events, *BOOKINGS.enriched))
    refused = Counter(refusal.code for refusal in log.refusals)
    ours = {"unknown_player", "wrong_team", "player_off_field", "already_ended"}
    assert ours <= set(refused)
    assert 20 < sum(refused[code] for code in ours) < 200
