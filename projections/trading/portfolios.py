"""Each portfolio as it stands now, and all of them by equity."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import assert_never

from eventlog.decimals import ZERO
from eventlog.envelope import Meta
from eventlog.models import Hash, SortedSet
from eventlog.operations import Add, Operation, Put
from eventlog.roles import Projection
from schemas.trading import (
    TRADING,
    CashDeposited,
    CashWithdrawn,
    PortfolioOpened,
    PortfolioValueUpdated,
    StockBought,
    StockSold,
    TradingEvent,
)

TradingFact = TradingEvent | PortfolioValueUpdated


def on_portfolio(event: TradingFact, meta: Meta) -> Iterable[Operation]:
    """Cash and shares are the sums of the events; equity is the newest valuation."""
    match event:
        case PortfolioValueUpdated():
            return (Put((event.portfolio_id,), {"equity": event.equity}),)
        case _:
            key = (event.portfolio_id,)
            return Add(key, _added(event)), Put(key, {"version": meta.version, "as_of": meta.time})


def _added(event: TradingEvent) -> dict[str, Decimal]:
    match event:
        case StockBought():
            return {"cash": -event.amount, f"holdings.{event.symbol}": event.quantity}
        case StockSold():
            return {"cash": event.amount, f"holdings.{event.symbol}": -event.quantity}
        case CashDeposited():
            return {"cash": event.amount}
        case CashWithdrawn():
            return {"cash": -event.amount}
        case PortfolioOpened():
            return {"cash": ZERO}
        case _:
            assert_never(event)


def on_leaderboard(event: PortfolioValueUpdated, _: Meta) -> Iterable[Operation]:
    """A portfolio's place is that of its newest equity."""
    return (Put((event.portfolio_id,), {"equity": event.equity}),)


PORTFOLIO = Projection(
    domain=TRADING,
    model=Hash(
        "portfolio",
        ("portfolio_id",),
        {
            "portfolio_id": "text",
            "cash": "decimal",
            "equity": "decimal",
            "holdings": "decimal",
            "version": "integer",
            "as_of": "time",
        },
        maps={"holdings": "decimal"},
    ),
    sources=(TRADING.topic("events"), TRADING.topic("enriched")),
    on=on_portfolio,
)

LEADERBOARD = Projection(
    domain=TRADING,
    model=SortedSet("leaderboard", ("portfolio_id",), {"portfolio_id": "text", "equity": "decimal"}, score="equity"),
    sources=(TRADING.topic("enriched"),),
    on=on_leaderboard,
)
