"""The kit fails when what is said does not hold: a `then` that cannot fail proves nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from eventlog.testing import NOON, EnricherScenario, ProjectionScenario, SagaScenario, Scenario
from processors.fulfilment import SAGA
from processors.trading import DECIDER, ENRICHER
from projections.trading import PORTFOLIO
from schemas.market import MARKET_PRICES, PriceQuoted
from schemas.trading import PortfolioValueUpdated
from tests.orders.words import placed
from tests.trading.words import bought, buy, deposit, deposited, opened, sold

OPEN = Scenario(DECIDER).given(opened())


def fails(match: str) -> pytest.RaisesExc[AssertionError]:
    return pytest.raises(AssertionError, match=match)


def test_then_fails_on_other_events_and_shows_the_difference() -> None:
    done = OPEN.when(deposit("5"))
    done.then(deposited("5.00"))
    with fails(r"-    amount = '6'\n\+    amount = '5'"):
        done.then(deposited("6"))
    with fails(r"\+CashDeposited"):
        done.then()
    with fails("-CashDeposited"):
        done.then(deposited("5"), deposited("5"))


def test_then_fails_on_a_refusal_and_says_why() -> None:
    with fails("refused: insufficient_cash: 1 to pay, 0 in cash"):
        OPEN.when(buy("1", "A", "1")).then(bought("1", "A", "1"))
    with fails("refused: insufficient_cash"):
        OPEN.when(buy("1", "A", "1")).then_nothing()


def test_then_refused_fails_on_another_code_and_on_events() -> None:
    OPEN.when(buy("1", "A", "1")).then_refused("insufficient_cash")
    with fails("insufficient_shares"):
        OPEN.when(buy("1", "A", "1")).then_refused("insufficient_shares")
    with fails("insufficient_cash"):
        OPEN.when(buy("1", "A", "1")).then_refused("insufficient")
    with fails("CashDeposited"):
        OPEN.when(deposit("5")).then_refused("not_positive")


def test_then_nothing_fails_on_events() -> None:
    with fails("CashDeposited"):
        OPEN.when(deposit("5")).then_nothing()


def test_then_needs_a_when() -> None:
    for then in (OPEN.then, OPEN.then_nothing, lambda: OPEN.then_refused("x")):
        with fails("call when"):
            then()
    with fails("call when"):
        EnricherScenario(ENRICHER).then()


def test_steps_leave_the_scenario_before_them_as_it_was() -> None:
    funded = OPEN.given(deposited("10"))
    funded.when(buy("1", "A", "10")).then(bought("1", "A", "10"))
    funded.when(buy("1", "A", "10")).then(bought("1", "A", "10")).when(buy("1", "A", "10")).then_refused(
        "insufficient_cash"
    )


def test_time_stays_until_it_is_given_anew() -> None:
    assert OPEN.time == NOON
    later = OPEN.given(deposited("1"), at=NOON + timedelta(days=3))
    assert later.when(deposit("1")).state.last == NOON + timedelta(days=3)
    later.when(deposit("1"), at=NOON).then_refused("too_old")


def test_an_enricher_scenario_fails_when_it_should() -> None:
    seen = EnricherScenario(ENRICHER).given(opened()).when(deposited("5"))
    valued = PortfolioValueUpdated(
        portfolio_id="p1", version=2, cash=Decimal(5), equity=Decimal(5), gross_value=Decimal(0)
    )
    seen.then(valued).then_of(PortfolioValueUpdated, valued).then_of(PriceQuoted)
    with fails("PortfolioValueUpdated"):
        seen.then_nothing()
    with fails("PortfolioValueUpdated"):
        seen.then_of(PortfolioValueUpdated)
    with fails("-PriceQuoted"):
        seen.then_of(PriceQuoted, PriceQuoted(symbol="A", price=Decimal(1)))


def test_reference_data_is_that_of_its_scenario() -> None:
    before = EnricherScenario(ENRICHER).given(opened(margin=True), sold("1", "A", "1"))
    before.given_reference(MARKET_PRICES, PriceQuoted(symbol="A", price=Decimal(9)), at=NOON)
    assert before.tables[MARKET_PRICES.name] == {}


def test_a_projection_scenario_fails_when_it_should() -> None:
    seen = ProjectionScenario(PORTFOLIO).given(opened(), deposited("5"))
    seen.then_rows({"cash": Decimal("5.0"), "version": 2})
    for row in ({"cash": Decimal(6)}, {"version": 1}, {"cash": None}, {"typo": 1}):
        with fails("expected"):
            seen.then_rows(row)
    with fails("cash"):
        seen.then_nothing()
    with fails("cash"):
        seen.then_rows({"version": 2}, {"version": 2})


def test_a_sagas_then_fails_on_other_commands_and_facts() -> None:
    begun = SagaScenario(SAGA).when(placed())
    begun.then_steps("reserve/mug", "reserve/tea")
    with fails("ReserveStock"):
        begun.then()
    with fails("FulfilmentStarted"):
        begun.then_facts()
    with fails("reserve/tea"):
        begun.then_steps("reserve/mug")
    with fails("ReserveStock"):
        begun.then_nothing()
    with fails("nothing happened yet"):
        SagaScenario(SAGA).given(placed()).then_nothing()


def test_a_sagas_time_passes_deadline_by_deadline() -> None:
    undoing = SagaScenario(SAGA).given(placed())
    undoing.after(timedelta(seconds=29)).then_nothing()
    assert undoing.after(timedelta(seconds=30)).state.releases == 1
    assert undoing.after(timedelta(seconds=60)).state.releases == 2
    still = replace(SAGA, due=lambda state: state and NOON)
    with fails("has passed, and the next one is"):
        SagaScenario(still).given(placed()).after(timedelta(seconds=1))
