"""What each event means: profit, value, risk, quotes."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import msgspec

from eventlog.message import Event
from eventlog.testing import EnricherScenario
from processors.trading import ENRICHER
from schemas.market import MARKET_PRICES, PriceQuoted
from schemas.trading import PortfolioValueUpdated, RiskThresholdBreached, TradeProfitCalculated
from tests.trading.words import T0, P, bought, d, deposited, opened, sold, withdrawn

NEW = EnricherScenario(ENRICHER, time=T0)
FUNDED = NEW.given(opened(margin=True), deposited("10000"))
LATER = T0 + timedelta(seconds=1)
EARLIER = T0 - timedelta(seconds=1)
LARGE = "9" * 26


def profit(symbol: str, version: int, *after: str) -> TradeProfitCalculated:
    quantity, average_cost, made, total = after
    return TradeProfitCalculated(
        portfolio_id=P,
        symbol=symbol,
        version=version,
        quantity=d(quantity),
        average_cost=d(average_cost),
        profit=d(made),
        realised_profit=d(total),
    )


def value(version: int, cash: str, equity: str, gross: str) -> PortfolioValueUpdated:
    return PortfolioValueUpdated(portfolio_id=P, version=version, cash=d(cash), equity=d(equity), gross_value=d(gross))


def breach(version: int, kind: str, symbol: str, size: str, threshold: str) -> RiskThresholdBreached:
    return RiskThresholdBreached(
        portfolio_id=P, version=version, kind=kind, symbol=symbol, value=d(size), threshold=d(threshold)
    )


def quote(symbol: str, price: str) -> PriceQuoted:
    return PriceQuoted(symbol=symbol, price=d(price))


def test_every_event_updates_the_value() -> None:
    NEW.when(opened()).then(value(1, "0", "0", "0")).when(deposited("10")).then(value(2, "10", "10", "0")).when(
        withdrawn("4")
    ).then(value(3, "6", "6", "0"))


def test_a_trade_states_profit_value_risk_and_quote_in_this_order() -> None:
    FUNDED.when(bought("10", "AAPL", "175")).then(
        profit("AAPL", 3, "10", "175", "0", "0"),
        value(3, "8250", "10000", "1750"),
        breach(3, "concentration", "AAPL", "1750", "700"),
        quote("AAPL", "175"),
    )


def test_the_example_of_the_essay() -> None:
    trades = FUNDED.given(bought("10", "AAPL", "175"), bought("5", "NVDA", "950"))
    sale = trades.when(sold("3", "AAPL", "180"))
    sale.then_of(TradeProfitCalculated, profit("AAPL", 5, "7", "175", "15", "15"))
    sale.then_of(PortfolioValueUpdated, value(5, "4040", "10050", "6010"))


def test_profit_through_zero_and_back() -> None:
    short = FUNDED.given(bought("10", "A", "100")).when(sold("15", "A", "120"))
    short.then_of(TradeProfitCalculated, profit("A", 4, "-5", "120", "200", "200"))
    back = short.when(bought("5", "A", "130"))
    back.then_of(TradeProfitCalculated, profit("A", 5, "0", "0", "-50", "150"))
    back.when(bought("1", "A", "1")).then_of(TradeProfitCalculated, profit("A", 6, "1", "1", "0", "150"))


def test_a_short_position_is_owed_and_counts_in_gross_value() -> None:
    FUNDED.when(sold("10", "A", "100")).then_of(PortfolioValueUpdated, value(3, "11000", "10000", "1000"))
    both = FUNDED.given(bought("1", "B", "500")).when(sold("10", "A", "100"))
    both.then_of(PortfolioValueUpdated, value(4, "10500", "10000", "1500"))


def test_the_newer_price_counts() -> None:
    held = FUNDED.given(bought("10", "A", "100"), at=T0)
    newer = held.given_reference(MARKET_PRICES, quote("A", "110"), at=LATER)
    older = held.given_reference(MARKET_PRICES, quote("A", "110"), at=EARLIER)
    same = held.given_reference(MARKET_PRICES, quote("A", "110"), at=T0)
    newer.when(deposited("1")).then_of(PortfolioValueUpdated, value(4, "9001", "10101", "1100"))
    older.when(deposited("1")).then_of(PortfolioValueUpdated, value(4, "9001", "10001", "1000"))
    same.when(deposited("1")).then_of(PortfolioValueUpdated, value(4, "9001", "10001", "1000"))


def test_the_price_of_a_trade_is_quoted_unless_there_is_a_later_one() -> None:
    trade = bought("1", "A", "100")
    FUNDED.when(trade).then_of(PriceQuoted, quote("A", "100"))
    known = FUNDED.given_reference
    known(MARKET_PRICES, quote("A", "9"), at=EARLIER).when(trade).then_of(PriceQuoted, quote("A", "100"))
    known(MARKET_PRICES, quote("A", "9"), at=T0).when(trade).then_of(PriceQuoted, quote("A", "100"))
    known(MARKET_PRICES, quote("A", "9"), at=LATER).when(trade).then_of(PriceQuoted)
    known(MARKET_PRICES, quote("B", "9"), at=LATER).when(trade).then_of(PriceQuoted, quote("A", "100"))


def test_concentration_is_stated_once_per_crossing() -> None:
    spread = FUNDED.given(bought("10", "A", "100"), bought("10", "B", "100"), bought("10", "C", "100"))
    spread.when(deposited("1")).then_of(RiskThresholdBreached)
    over = spread.when(bought("10", "C", "100"))
    over.then_of(RiskThresholdBreached, breach(6, "concentration", "C", "2000", "1600"))
    still = over.when(bought("1", "C", "100"))
    still.then_of(RiskThresholdBreached)
    back = still.when(sold("11", "C", "100"))
    back.then_of(RiskThresholdBreached)
    back.when(bought("10", "C", "100")).then_of(RiskThresholdBreached, breach(9, "concentration", "C", "2000", "1600"))


def test_exactly_forty_per_cent_is_within_the_limit() -> None:
    even = FUNDED.given(bought("4", "A", "100"), bought("3", "B", "100")).when(bought("3", "C", "100"))
    even.then_of(RiskThresholdBreached)
    even.when(bought("0.000000000001", "A", "100")).then_of(
        RiskThresholdBreached, breach(6, "concentration", "A", "400.0000000001", "400.00000000004")
    )


def test_two_positions_can_be_over_at_once() -> None:
    first = FUNDED.when(bought("1", "A", "100"))
    second = first.when(bought("1", "B", "100"))
    second.then_of(RiskThresholdBreached, breach(4, "concentration", "B", "100", "80"))
    second.when(bought("1", "C", "100")).then_of(RiskThresholdBreached).when(bought("3", "C", "100")).then_of(
        RiskThresholdBreached, breach(6, "concentration", "C", "400", "240")
    )


def test_a_short_position_can_be_too_large() -> None:
    FUNDED.when(sold("1", "A", "100")).then_of(RiskThresholdBreached, breach(3, "concentration", "A", "100", "40"))


def test_a_price_can_take_a_portfolio_over_a_limit() -> None:
    spread = FUNDED.given(bought("10", "A", "100"), bought("10", "B", "100"), bought("10", "C", "100"))
    spread.given_reference(MARKET_PRICES, quote("A", "150"), at=LATER).when(deposited("1")).then_of(
        RiskThresholdBreached, breach(6, "concentration", "A", "1500", "1400")
    )


def leverage(facts: tuple[Event, ...] | None) -> list[RiskThresholdBreached]:
    return [fact for fact in facts or () if isinstance(fact, RiskThresholdBreached) and fact.kind == "leverage"]


def test_leverage_is_stated_once_per_crossing() -> None:
    four = FUNDED.when(bought("400", "A", "100"))
    assert leverage(four.facts) == []
    over = four.when(bought("1", "A", "100"))
    assert leverage(over.facts) == [breach(4, "leverage", "", "40100", "40000")]
    still = over.when(bought("1", "A", "100"))
    assert leverage(still.facts) == []
    back = still.when(sold("2", "A", "100"))
    assert leverage(back.facts) == []
    assert leverage(back.when(bought("1", "A", "100")).facts) == [breach(7, "leverage", "", "40100", "40000")]


def test_a_portfolio_that_owes_more_than_it_has_is_over_its_leverage() -> None:
    owing = NEW.given(opened(margin=True)).when(withdrawn("1"))
    assert leverage(owing.facts) == [breach(2, "leverage", "", "0", "-4")]


def test_values_may_be_larger_than_money() -> None:
    held = NEW.given(opened(margin=True), bought(LARGE, "A", "0.5"))
    after = held.given_reference(MARKET_PRICES, quote("A", LARGE), at=LATER).when(deposited("1"))
    (valued, *_) = after.facts or ()
    assert isinstance(valued, PortfolioValueUpdated)
    assert valued.gross_value == Decimal(LARGE) * Decimal(LARGE)


def test_sums_are_rounded_once() -> None:
    # 0.4 and 0.4 of the last place are 0.8 of it together, and nothing each by itself.
    small, price = "0.000000000004", "0.1"
    held = NEW.given(opened(margin=True), deposited("1"))
    for symbol in "AB":
        held = held.given(bought("0.000000000005", symbol, "0.5"))
    for symbol in "AB":
        held = held.given(sold("0.000000000001", symbol, "1"))
        held = held.given_reference(MARKET_PRICES, quote(symbol, price), at=LATER)
    assert held.state.positions["A"].quantity == d(small)
    (valued, *_) = held.when(deposited("1")).facts or ()
    assert isinstance(valued, PortfolioValueUpdated)
    assert valued.gross_value == d("0.000000000001")


def test_the_state_survives_its_changelog() -> None:
    state = FUNDED.given(bought("10", "A", "100"), sold("3", "B", "7")).state
    assert state.over
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=ENRICHER.state) == state


def test_a_state_is_never_changed_by_what_comes_after_it() -> None:
    before = FUNDED.given(bought("10", "A", "100"))
    kept = msgspec.msgpack.encode(before.state)
    before.given(bought("10", "B", "100"), sold("10", "A", "100"))
    assert msgspec.msgpack.encode(before.state) == kept
