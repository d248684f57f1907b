"""Each portfolio as it stands now, and all of them by equity."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import assert_never

from eventlog.decimals import ZERO
from eventlog.envelope import Meta
from eventlog.message import Event
from eventlog.models import Hash, SortedSet
from eventlog.operations import Add, Operation, Put
from eventlog.roles import Projection
from schemas.trading import (
    TRADING,
    CashDeposited,
    CashWithdrawn,
    PortfolioOpened,
    PortfolioValueUpdated,
    RiskThresholdBreached,
    StockBought,
    StockSold,
    TradeProfitCalculated,
    TradingEvent,
)

TradingFact = TradingEvent | TradeProfitCalculated | PortfolioValueUpdated | RiskThresholdBreached


def on_portfolio(event: TradingFact, meta: Meta) -> Iterable[Operation]:
    """Cash and shares are the sums of the events; equity is the newest valuation."""
    match event:
        case StockBought():
            return _changed(meta, {"cash": -event.amount, f"holdings.{event.symbol}": event.quantity})
        case StockSold():
            return _changed(meta, {"cash": event.amount, f"holdings.{event.symbol}": -event.quantity})
        case CashDeposited():
            return _changed(meta, {"cash": event.amount})
        case CashWithdrawn():
            return _changed(meta, {"cash": -event.amount})
        case PortfolioOpened():
            return _changed(meta, {"cash": ZERO})
        case PortfolioValueUpdated():
            return (Put((event.portfolio_id,), {"equity": event.equity}),)
        case TradeProfitCalculated() | RiskThresholdBreached():
            return ()
        case _:
            assert_never(event)


def _changed(meta: Meta, added: dict[str, Decimal]) -> Iterable[Operation]:
    key = (meta.stream,)
    return Add(key, added), Put(key, {"version": meta.version, "as_of": meta.time})


def on_leaderboard(event: Event, _: Meta) -> Iterable[Operation]:
    """A portfolio's place is that of its newest equity."""
    match event:
        case PortfolioValueUpdated():
            return (Put((event.portfolio_id,), {"equity": event.equity}),)
        case _:
            return ()


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
