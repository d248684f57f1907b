"""Each command: does it, refuses it with each of its codes, and never fails in any other way."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.errors import Refused
from eventlog.message import Command
from eventlog.testing import Scenario
from processors.trading import DECIDER, decider
from schemas.trading import PortfolioOpened, StockBought, TradingEvent
from tests.trading.words import (
    DAY,
    T0,
    P,
    bought,
    buy,
    d,
    deposit,
    deposited,
    open_portfolio,
    opened,
    sell,
    sold,
    withdraw,
    withdrawn,
)

UNOPENED = Scenario(DECIDER)
CASH = UNOPENED.given(opened())
MARGIN = UNOPENED.given(opened(margin=True))
RICH = CASH.given(deposited("10000"))
LARGEST = "9" * 26 + "." + "9" * 12


def test_opens_a_portfolio() -> None:
    UNOPENED.when(open_portfolio()).then(opened())
    UNOPENED.when(open_portfolio(margin=True)).then(opened(margin=True))


def test_a_currency_is_written_in_capitals() -> None:
    UNOPENED.when(open_portfolio(currency="usd")).then(opened())


def test_does_not_open_a_portfolio_twice() -> None:
    CASH.when(open_portfolio()).then_refused("already_open")


@pytest.mark.parametrize("currency", ["", "US", "USDX", "U$D", "12A", "ÄÖÜ", "US ", "u\nd"])
def test_refuses_a_currency_that_is_not_three_letters(currency: str) -> None:
    UNOPENED.when(open_portfolio(currency=currency)).then_refused("bad_currency")


@pytest.mark.parametrize("name", ["", " ", " a", "a ", "a\x00b", "a\nb", "a\u202eb"])
def test_refuses_names_that_cannot_be_shown(name: str) -> None:
    UNOPENED.when(open_portfolio(portfolio_id=name)).then_refused("bad_id")
    UNOPENED.when(open_portfolio(owner=name)).then_refused("bad_owner")
    RICH.when(buy("1", name, "1")).then_refused("bad_symbol")
    MARGIN.when(sell("1", name, "1")).then_refused("bad_symbol")


def test_refuses_names_that_are_too_long() -> None:
    UNOPENED.when(open_portfolio(portfolio_id="x" * 128)).then(
        PortfolioOpened(portfolio_id="x" * 128, owner="ada", currency="USD", margin=False)
    )
    UNOPENED.when(open_portfolio(portfolio_id="x" * 129)).then_refused("bad_id")
    UNOPENED.when(open_portfolio(owner="x" * 201)).then_refused("bad_owner")
    RICH.when(buy("1", "S" * 32, "1")).then(bought("1", "S" * 32, "1"))
    RICH.when(buy("1", "S" * 33, "1")).then_refused("bad_symbol")
    RICH.when(buy("1", "A B", "1")).then_refused("bad_symbol")


def test_deposits_cash() -> None:
    CASH.when(deposit("10000.000000000001")).then(deposited("10000.000000000001"))


def test_withdraws_cash_down_to_nothing() -> None:
    RICH.when(withdraw("10000")).then(withdrawn("10000")).when(withdraw("0.000000000001")).then_refused(
        "insufficient_cash"
    )


def test_a_cash_account_cannot_overdraw_cash() -> None:
    RICH.when(withdraw("10000.000000000001")).then_refused("insufficient_cash")
    RICH.when(buy("10", "AAPL", "1000")).then(bought("10", "AAPL", "1000"))
    RICH.when(buy("10", "AAPL", "1000.01")).then_refused("insufficient_cash")


def test_a_margin_account_can_owe_cash() -> None:
    MARGIN.when(withdraw("1")).then(withdrawn("1"))
    MARGIN.when(buy("10", "AAPL", "1000")).then(bought("10", "AAPL", "1000"))


def test_a_cash_account_cannot_sell_what_it_does_not_hold() -> None:
    RICH.when(sell("1", "AAPL", "1")).then_refused("insufficient_shares")
    held = RICH.given(bought("10", "AAPL", "175"))
    held.when(sell("10", "AAPL", "180")).then(sold("10", "AAPL", "180")).when(sell("1", "AAPL", "180")).then_refused(
        "insufficient_shares"
    )
    held.when(sell("10.000000000001", "AAPL", "180")).then_refused("insufficient_shares")
    held.when(sell("1", "NVDA", "180")).then_refused("insufficient_shares")


def test_a_margin_account_can_owe_shares() -> None:
    MARGIN.when(sell("1.5", "AAPL", "100")).then(sold("1.5", "AAPL", "100"))


EVERY_OTHER = [deposit("1"), withdraw("1"), buy("1", "AAPL", "1"), sell("1", "AAPL", "1")]


@pytest.mark.parametrize("command", EVERY_OTHER, ids=lambda c: type(c).__name__)
def test_refuses_everything_for_a_portfolio_that_is_not_open(command: Command) -> None:
    UNOPENED.when(command).then_refused("unknown_portfolio")


@pytest.mark.parametrize("command", EVERY_OTHER, ids=lambda c: type(c).__name__)
def test_refuses_what_lies_over_a_day_before_the_last_event(command: Command) -> None:
    margin = UNOPENED.given(opened(margin=True), at=T0)
    assert not isinstance(margin.when(command, at=T0 - DAY).outcome, Refused)
    margin.when(command, at=T0 - DAY - timedelta(microseconds=1)).then_refused("too_old")


def test_lateness_counts_from_every_kind_of_event() -> None:
    later, soon = T0 + 3 * DAY, T0 + DAY
    base = UNOPENED.given(opened(margin=True), at=T0)
    for event in (deposited("1"), withdrawn("1"), bought("1", "A", "1"), sold("1", "A", "1")):
        base.given(event, at=later).when(deposit("1"), at=soon).then_refused("too_old")


NONE = [
    "",
    " ",
    "NaN",
    "nan",
    "sNaN",
    "-NaN123",
    "inf",
    "Infinity",
    "-inf",
    "1,5",
    "ten",
    "0x10",
    "1e",
    "1_000",
    "\u0661",
]
NUMBERS = {
    "not_positive": ["0", "-1", "-0", "0.000000000000", "0e400", "-0.000000000001"],
    "not_a_number": NONE,
    "too_many_digits": [
        "0.0000000000001",
        "1" * 27,
        "1e26",
        "1e400",
        "1e-400",
        "1e999999999999999999",
        "1." + "0" * 38,
        "9" * 100_000,
    ],
}
CASES = [(code, text) for code, texts in NUMBERS.items() for text in texts]


@pytest.mark.parametrize(("code", "text"), CASES, ids=[f"{c}:{t[:24]!r}" for c, t in CASES])
def test_refuses_numbers_that_are_none(code: str, text: str) -> None:
    MARGIN.when(deposit(text)).then_refused(code)
    MARGIN.when(withdraw(text)).then_refused(code)
    for trade in (buy, sell):
        MARGIN.when(trade(text, "AAPL", "1")).then_refused(code)
        MARGIN.when(trade("1", "AAPL", text)).then_refused(code)


def test_takes_numbers_as_they_are_written() -> None:
    for text in ("1.500", "+1.5", "15e-1", "0.15E1", "1.5000000000000"):
        CASH.when(deposit(text)).then(deposited("1.5"))
    CASH.when(deposit(LARGEST)).then(deposited(LARGEST))


def test_refuses_results_that_cannot_be_stored() -> None:
    CASH.given(deposited(LARGEST)).when(deposit("0.000000000001")).then_refused("too_many_digits")
    MARGIN.given(withdrawn(LARGEST)).when(withdraw("0.000000000001")).then_refused("too_many_digits")
    MARGIN.when(buy("1" + "0" * 13, "A", "1" + "0" * 13)).then_refused("too_many_digits")
    MARGIN.when(sell("1" + "0" * 13, "A", "1" + "0" * 13)).then_refused("too_many_digits")
    # The cash left could be stored here, the amount itself could not.
    MARGIN.given(deposited(LARGEST)).when(buy("1" + "0" * 13, "A", "1" + "0" * 13)).then_refused("too_many_digits")
    small = "0.000000000001"
    MARGIN.given(bought(LARGEST, "A", "0.5")).when(buy(small, "A", "1")).then_refused("too_many_digits")
    MARGIN.given(sold(LARGEST, "A", "0.5")).when(sell(small, "A", "1")).then_refused("too_many_digits")
    CASH.given(deposited(LARGEST), bought("1", "A", "1")).when(deposit("2")).then_refused("too_many_digits")
    held = CASH.given(bought("2", "A", "0.5"), deposited(LARGEST))
    held.when(sell("2", "A", "5")).then_refused("too_many_digits")


def test_an_amount_is_rounded_half_to_even_at_twelve_places() -> None:
    def amount(quantity: str, price: str) -> Decimal:
        outcome = MARGIN.when(buy(quantity, "A", price)).outcome
        assert isinstance(outcome, tuple)
        (event,) = outcome
        assert isinstance(event, StockBought)
        return event.amount

    assert amount("0.5", "0.000000000003") == d("0.000000000002")
    assert amount("0.5", "0.000000000005") == d("0.000000000002")
    assert amount("0.500000000001", "0.000000000005") == d("0.000000000003")
    assert amount("3", "4.82375000001") == d("14.47125000003")


def test_refuses_a_trade_whose_amount_is_nothing() -> None:
    MARGIN.when(buy("0.000000000001", "A", "0.5")).then_refused("not_positive")
    MARGIN.when(sell("0.000000000001", "A", "0.000000000001")).then_refused("not_positive")


def test_limits_the_open_positions_of_a_portfolio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decider, "POSITIONS_MAX", 2)
    full = RICH.given(bought("1", "A", "1"), bought("1", "B", "1"))
    full.when(buy("1", "C", "1")).then_refused("too_many_positions")
    full.when(buy("1", "A", "1")).then(bought("1", "A", "1"))
    full.when(sell("1", "A", "1")).then(sold("1", "A", "1")).when(buy("1", "C", "1")).then(bought("1", "C", "1"))


def test_the_example_of_the_essay() -> None:
    after = CASH
    for command, cash in (
        (deposit("10000"), 10_000),
        (buy("10", "AAPL", "175"), 8_250),
        (buy("5", "NVDA", "950"), 3_500),
        (sell("3", "AAPL", "180"), 4_040),
    ):
        after = after.when(command)
        assert after.state.cash == cash
    assert after.state.shares == {"AAPL": 7, "NVDA": 5}


def test_a_closed_position_is_forgotten() -> None:
    assert RICH.given(bought("1", "A", "1"), sold("1", "A", "2")).state.shares == {}
    assert MARGIN.given(sold("1", "A", "1"), bought("1", "A", "2")).state.shares == {}


def test_a_state_is_never_changed_by_what_comes_after_it() -> None:
    before = RICH.given(bought("1", "A", "1"))
    kept = (before.state.cash, dict(before.state.shares))
    before.given(bought("1", "A", "1"), bought("2", "B", "1"), sold("2", "A", "1"))
    assert (before.state.cash, before.state.shares) == kept


numbers = st.one_of(
    st.text(max_size=60),
    st.decimals(allow_nan=True, allow_infinity=True).map(str),
    st.from_regex(r"[+-]?[0-9_]{0,45}\.?[0-9]{0,45}([eE][+-]?[0-9]{1,22})?", fullmatch=True),
    st.floats().map(repr),
    st.sampled_from([text for _, text in CASES]),
)


def check_refusal(refused: Refused) -> None:
    assert refused.code.isidentifier()
    assert len(refused.reason) < 1000


Trades = list[tuple[str, str, int, int]]
trades = st.tuples(st.sampled_from("bs"), st.sampled_from("AB"), st.integers(1, 50), st.integers(1, 50))
symbols = st.one_of(st.text(max_size=40), st.just("A"))
times = st.datetimes(timezones=st.just(T0.tzinfo))
states = st.sampled_from([None, CASH.state, MARGIN.state, RICH.state, RICH.given(bought("1", "A", "1")).state])


@given(states, numbers, numbers, symbols, times)
def test_whatever_a_command_holds_it_is_done_or_refused(state, quantity, price, symbol, time) -> None:  # type: ignore[no-untyped-def]
    for command in (
        deposit(quantity),
        withdraw(quantity),
        buy(quantity, symbol, price),
        sell(quantity, symbol, price),
        open_portfolio(portfolio_id=symbol, owner=quantity, currency=price),
    ):
        try:
            events: tuple[TradingEvent, ...] = DECIDER.decide(command, state, time)
        except Refused as refused:
            check_refusal(refused)
        else:
            for event in events:
                assert event.stream == command.stream
                after = DECIDER.evolve(state, event, time)
                assert after.margin or (after.cash >= 0 and all(q > 0 for q in after.shares.values()))


@given(st.lists(trades, max_size=30))
def test_a_cash_account_is_never_below_zero(asked: Trades) -> None:
    after = CASH.given(deposited("500"))
    for kind, symbol, quantity, price in asked:
        command = (buy if kind == "b" else sell)(str(quantity), symbol, str(price))
        after = after.when(command)
        assert after.state.cash >= 0
        assert all(held > 0 for held in after.state.shares.values())


def test_the_portfolio_of_an_event_is_the_commands() -> None:
    outcome = UNOPENED.when(open_portfolio()).outcome
    assert isinstance(outcome, tuple)
    assert [event.stream for event in outcome] == [P]
