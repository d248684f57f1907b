"""Given, when, then: what authors of a domain test their roles with, in memory.

    Scenario(DECIDER).given(opened, deposited).when(BuyStock(...)).then(StockBought(...))
    Scenario(DECIDER).when(DepositCash(...)).then_refused("unknown_portfolio")
    EnricherScenario(ENRICHER).given(bought).when(sold).then_of(TradeProfitCalculated, ...)
    SagaScenario(SAGA).given(placed, reserved).after(timedelta(seconds=60)).then(RefundPayment(...))
    ProjectionScenario(POSITIONS).given(profit).then_rows({"symbol": "AAPL", ...})

Every `then` raises `AssertionError` with the difference, line by line, when it does not hold. Scenarios are
not changed by their steps: each step returns a new one, so that one `given` can start many tests.
"""

from __future__ import annotations

from eventlog.testing.folds import fold, meta_of
from eventlog.testing.samples import Asked, Fact, Log, interleaved, message_of, run_samples, sample_facts
from eventlog.testing.scenarios import NOON, EnricherScenario, ProjectionScenario, SagaScenario, Scenario

__all__ = [
    "NOON",
    "Asked",
    "EnricherScenario",
    "Fact",
    "Log",
    "ProjectionScenario",
    "SagaScenario",
    "Scenario",
    "fold",
    "interleaved",
    "message_of",
    "meta_of",
    "run_samples",
    "sample_facts",
]
