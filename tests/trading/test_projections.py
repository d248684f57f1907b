"""Each read model shows what the facts say."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from eventlog.models import Table
from eventlog.testing import NOON, EnricherScenario, ProjectionScenario
from processors.trading import ENRICHER
from projections.market import PRICES
from projections.trading import LEADERBOARD, LEDGER, PORTFOLIO, POSITIONS, RISK_ALERTS
from schemas.market import PriceQuoted
from schemas.trading import PortfolioValueUpdated, RiskThresholdBreached, TradeProfitCalculated
from tests.trading.words import P, bought, d, deposited, opened, sold, withdrawn

LATER = NOON + timedelta(hours=1)


def valued(portfolio_id: str, equity: str) -> PortfolioValueUpdated:
    return PortfolioValueUpdated(portfolio_id=portfolio_id, version=1, cash=d(0), equity=d(equity), gross_value=d(0))


def breached(version: int, symbol: str) -> RiskThresholdBreached:
    kind = "concentration" if symbol else "leverage"
    return RiskThresholdBreached(portfolio_id=P, version=version, kind=kind, symbol=symbol, value=d(5), threshold=d(4))


def profited(symbol: str, quantity: str, total: str) -> TradeProfitCalculated:
    return TradeProfitCalculated(
        portfolio_id=P,
        symbol=symbol,
        version=3,
        quantity=d(quantity),
        average_cost=d("175"),
        profit=d("1"),
        realised_profit=d(total),
    )


def test_portfolio_shows_the_example_of_the_essay() -> None:
    ProjectionScenario(PORTFOLIO).given(
        opened(), deposited("10000"), bought("10", "AAPL", "175"), bought("5", "NVDA", "950")
    ).given(sold("3", "AAPL", "180"), at=LATER).then_rows(
        {
            "portfolio_id": P,
            "cash": d("4040"),
            "equity": None,
            "holdings": {"AAPL": d(7), "NVDA": d(5)},
            "version": 5,
            "as_of": LATER,
        }
    )


def test_a_new_portfolio_has_no_cash() -> None:
    ProjectionScenario(PORTFOLIO).given(opened()).then_rows({"cash": d(0), "holdings": {}, "version": 1})


def test_portfolio_leaves_out_what_is_not_held_and_shows_what_is_owed() -> None:
    facts = ProjectionScenario(PORTFOLIO).given(opened(), bought("1", "BRK.B", "2"), sold("1", "A", "2"))
    facts.then_rows({"holdings": {"A": d(-1), "BRK.B": d(1)}, "cash": d(0)})
    facts.given(sold("1", "BRK.B", "3"), withdrawn("1")).then_rows({"holdings": {"A": d(-1)}, "cash": d(2)})


def test_portfolio_takes_equity_from_the_newest_valuation() -> None:
    ProjectionScenario(PORTFOLIO).given(
        valued(P, "5"), valued(P, "7"), profited("A", "1", "1"), breached(1, "A")
    ).then_rows({"portfolio_id": P, "equity": d(7), "cash": None, "holdings": {}, "version": None})


def test_columns_are_in_their_order() -> None:
    (row,) = ProjectionScenario(PORTFOLIO).given(opened()).rows()
    assert list(row) == ["portfolio_id", "cash", "equity", "holdings", "version", "as_of"]


def test_leaderboard_is_by_equity() -> None:
    ProjectionScenario(LEADERBOARD).given(
        valued("a", "1"), valued("b", "30"), valued("c", "-2"), valued("a", "4"), profited("A", "1", "1")
    ).then_rows(
        {"portfolio_id": "b", "equity": d(30)},
        {"portfolio_id": "a", "equity": d(4)},
        {"portfolio_id": "c", "equity": d(-2)},
    )


def test_positions_are_what_their_last_trade_left() -> None:
    ProjectionScenario(POSITIONS).given(
        profited("A", "10", "0"), profited("B", "-5", "0"), profited("A", "0", "12"), valued(P, "1")
    ).then_rows(
        {"portfolio_id": P, "symbol": "A", "quantity": d(0), "average_cost": d(175), "realised_profit": d(12)},
        {"portfolio_id": P, "symbol": "B", "quantity": d(-5), "average_cost": d(175), "realised_profit": d(0)},
    )


def test_ledger_has_a_row_for_every_fact() -> None:
    nothing = {"symbol": None, "quantity": None, "price": None, "amount": None}
    trade = {"symbol": "A", "quantity": d(2), "price": d(3), "amount": d(6)}
    ProjectionScenario(LEDGER).given(
        opened(), deposited("10"), bought("2", "A", "3"), sold("2", "A", "3"), withdrawn("1")
    ).then_rows(
        {"portfolio_id": P, "version": 1, "type": "PortfolioOpened", "time": NOON, "event_id": f"{P}:1", **nothing},
        {"version": 2, "type": "CashDeposited", **nothing, "amount": d(10)},
        {"version": 3, "type": "StockBought", **trade},
        {"version": 4, "type": "StockSold", **trade, "event_id": f"{P}:4"},
        {"version": 5, "type": "CashWithdrawn", **nothing, "amount": d(1)},
    )


def test_risk_alerts_has_a_row_for_every_breach_of_one_event() -> None:
    ProjectionScenario(RISK_ALERTS).given(
        breached(3, ""), breached(3, "A"), valued(P, "1"), breached(7, "A")
    ).then_rows(
        {"portfolio_id": P, "version": 3, "kind": "concentration", "symbol": "A", "value": d(5), "threshold": d(4)},
        {"version": 3, "kind": "leverage", "symbol": "", "time": NOON},
        {"version": 7, "kind": "concentration", "symbol": "A"},
    )


def test_prices_shows_the_last_quote() -> None:
    ProjectionScenario(PRICES).given(
        PriceQuoted(symbol="A", price=d("1")), PriceQuoted(symbol="B", price=d("2"))
    ).given(PriceQuoted(symbol="A", price=d("1.5")), at=LATER).then_rows(
        {"symbol": "A", "price": d("1.5"), "as_of": LATER}, {"symbol": "B", "price": d(2), "as_of": NOON}
    )


def test_positions_follow_the_enricher() -> None:
    enriching = EnricherScenario(ENRICHER)
    seen = ProjectionScenario(POSITIONS)
    for event in (opened(), deposited("10000"), bought("10", "AAPL", "175"), sold("3", "AAPL", "180")):
        enriching = enriching.when(event)
        seen = seen.given(*(fact for fact in enriching.facts or () if not isinstance(fact, PriceQuoted)))
    seen.then_rows({"symbol": "AAPL", "quantity": d(7), "average_cost": d(175), "realised_profit": d(15)})


@pytest.mark.parametrize("projection", [POSITIONS, LEDGER, RISK_ALERTS], ids=lambda p: p.model.name)
def test_a_tables_migrations_make_its_columns(projection) -> None:  # type: ignore[no-untyped-def]
    model = projection.model
    assert isinstance(model, Table)
    assert model.migrations is not None
    text = "\n".join(file.read_text() for file in sorted(model.migrations.glob("*.sql")))
    assert "{table}" in text
    named = [line.split()[0] for line in text.splitlines() if line.startswith("    ") and "primary" not in line]
    assert named == list(model.columns)


def test_amounts_stay_exact() -> None:
    many = [deposited("0.000000000001")] * 1000 + [deposited("9" * 25)]
    (row,) = ProjectionScenario(PORTFOLIO).given(opened(), *many).rows()
    assert row["cash"] == Decimal("9" * 25) + Decimal("0.000000001")
