"""Average cost: longs, shorts, crossings, by table and against an independent calculation in fractions."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.decimals import PLACES, ZERO, places
from processors.trading.position import Position, traded
from tests.trading.words import T0, d

UNIT = Decimal(1).scaleb(-PLACES)


def after(trades: list[tuple[str, str]]) -> Position:
    position: Position | None = None
    for quantity, price in trades:
        position = traded(position, d(quantity), places(d(quantity) * d(price)), d(price), T0)
    assert position is not None
    return position


TABLE = [
    # trades (quantity, price)                        quantity  average cost       realised
    ([("10", "175")], "10", "175", "0"),
    ([("10", "100"), ("10", "200")], "20", "150", "0"),
    ([("10", "175"), ("-3", "180")], "7", "175", "15"),
    ([("10", "175"), ("-3", "170")], "7", "175", "-15"),
    ([("10", "100"), ("-10", "130")], "0", "0", "300"),
    ([("10", "100"), ("-10", "130"), ("5", "50")], "5", "50", "300"),
    ([("-10", "100")], "-10", "100", "0"),
    ([("-10", "100"), ("-10", "200")], "-20", "150", "0"),
    ([("-10", "100"), ("4", "90")], "-6", "100", "40"),
    ([("-10", "100"), ("4", "110")], "-6", "100", "-40"),
    ([("-10", "100"), ("10", "80")], "0", "0", "200"),
    ([("10", "100"), ("-15", "120")], "-5", "120", "200"),
    ([("-10", "100"), ("15", "80")], "5", "80", "200"),
    ([("10", "100"), ("-15", "120"), ("10", "110")], "5", "110", "250"),
    ([("1", "1"), ("1", "1"), ("1", "2"), ("-1", "2")], "2", "1.333333333334", "0.666666666667"),
    ([("3", "0.333333333333"), ("-1", "1"), ("-1", "1"), ("-1", "1")], "0", "0", "2.000000000001"),
]


@pytest.mark.parametrize(("trades", "quantity", "average_cost", "realised"), TABLE)
def test_average_cost(trades: list[tuple[str, str]], quantity: str, average_cost: str, realised: str) -> None:
    position = after(trades)
    assert position.quantity == d(quantity)
    assert position.average_cost == d(average_cost)
    assert position.realised == d(realised)


def test_a_closed_position_uses_up_what_is_left_of_its_cost() -> None:
    position = after([("3", "0.333333333334"), ("-1", "1"), ("-1", "1")])
    assert position.cost == d("0.333333333334")
    thirds = after([("1", "1"), ("2", "0.000000000001"), ("-1", "5"), ("-1", "5"), ("-1", "5")])
    assert thirds.cost == ZERO
    assert thirds.realised == d("15") - d("1.000000000002")


def test_the_last_price_and_time_are_those_of_the_last_trade() -> None:
    assert (after([("1", "5"), ("-2", "7")]).price, after([("1", "5")]).time) == (7, T0)


quantities = st.integers(-(10**7), 10**7).filter(bool).map(lambda n: Decimal(n).scaleb(-3))
prices = st.integers(1, 10**9).map(lambda n: Decimal(n).scaleb(-5))
trades = st.lists(st.tuples(quantities, prices), min_size=1, max_size=30)


def independent(made: list[tuple[Decimal, Decimal]]) -> tuple[Fraction, Fraction, Fraction]:
    """Quantity, average cost and realised profit without any rounding, share by share in spirit."""
    held, average, realised = Fraction(0), Fraction(0), Fraction(0)
    for quantity, price in ((Fraction(q), Fraction(p)) for q, p in made):
        closing = min(abs(held), abs(quantity)) if held * quantity < 0 else Fraction(0)
        sign = 1 if held > 0 else -1
        realised += closing * (price - average) * sign
        opening = abs(quantity) - closing
        held += quantity
        if opening:
            old = abs(held) - opening
            average = (old * average + opening * price) / abs(held)
    return held, average if held else Fraction(0), realised


@given(trades)
def test_agrees_with_a_calculation_in_fractions(made: list[tuple[Decimal, Decimal]]) -> None:
    position: Position | None = None
    for quantity, price in made:
        position = traded(position, quantity, places(quantity * price), price, T0)
    assert position is not None
    held, average, realised = independent(made)
    # Each trade rounds its released cost and its split by half a unit each, and what is rounded stays in the cost.
    slack = Fraction(UNIT) * 2 * len(made)
    assert Fraction(position.quantity) == held
    assert abs(Fraction(position.realised) - realised) <= slack
    assert abs(Fraction(position.cost) - average * held) <= slack


@given(trades)
def test_cost_and_profit_account_for_all_that_was_spent(made: list[tuple[Decimal, Decimal]]) -> None:
    position: Position | None = None
    spent = ZERO
    for quantity, price in made:
        amount = places(quantity * price)
        spent += amount
        position = traded(position, quantity, amount, price, T0)
        assert position.cost == spent + position.realised
        assert position.cost == places(position.cost)
        assert bool(position.quantity) or not position.cost
        assert not position.quantity or (position.cost >= 0) == (position.quantity > 0)
