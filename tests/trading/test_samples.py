"""The samples are worth looking at: the same for the same seed, mostly granted, with every kind of refusal."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import pytest

from eventlog.discovery import catalog
from eventlog.envelope import parse_time
from eventlog.roles import Source
from eventlog.testing import run_samples, sample_facts
from producers import market, trading


@pytest.mark.parametrize("source", [trading.SOURCE, market.SOURCE], ids=lambda s: s.domain.name)
def test_a_sample_is_what_its_seed_says(source: Source) -> None:
    assert source.sample
    first, again, other = (list(source.sample(500, seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert len({event["id"] for event in first + other}) == 1000
    times = [parse_time(event["time"]) for event in first]
    assert all(earlier < later for earlier, later in itertools.pairwise(times))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 41])
def test_a_sample_is_as_long_as_it_was_asked_to_be(count: int) -> None:
    assert len(list(trading.sample(count, 1))) == count
    assert len(list(market.sample(count, 1))) == count


def test_a_trading_sample_is_mostly_granted() -> None:
    log = run_samples(replace(catalog(), sources=(trading.SOURCE,)), 4000, 7)
    refused = Counter(refusal.code for refusal in log.refusals)
    assert set(refused) == {"already_open", "not_positive", "unknown_portfolio", "not_a_number", "too_many_digits"}
    assert 20 < refused.total() < 200
    kinds = Counter(type(event).__name__ for _, event, _ in log.facts)
    expected = {
        "PortfolioOpened",
        "CashDeposited",
        "CashWithdrawn",
        "StockBought",
        "StockSold",
        "RiskThresholdBreached",
    }
    assert expected < set(kinds)


def test_facts_one_by_one_are_those_of_the_log() -> None:
    facts = list(sample_facts(catalog(), 60, 7))
    assert facts == run_samples(catalog(), 60, 7).facts
    assert {topic.name for topic, _, _ in facts} > {"trading.events", "trading.enriched", "fulfilment.events"}
