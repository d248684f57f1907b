"""Trading's tables: one row per position, per fact, per alert."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import assert_never

from eventlog.envelope import Meta
from eventlog.models import Table, Value
from eventlog.operations import Append, Operation, Put
from eventlog.roles import Projection
from schemas.trading import (
    TRADING,
    CashDeposited,
    CashWithdrawn,
    PortfolioOpened,
    RiskThresholdBreached,
    StockBought,
    StockSold,
    TradeProfitCalculated,
    TradingEvent,
)

MIGRATIONS = Path(__file__).parent / "migrations"


def on_positions(event: TradeProfitCalculated, _: Meta) -> Iterable[Operation]:
    """A position is what its last trade left; a closed one stays, for its realised profit."""
    left = {
        "quantity": event.quantity,
        "average_cost": event.average_cost,
        "realised_profit": event.realised_profit,
    }
    return (Put((event.portfolio_id, event.symbol), left),)


def on_ledger(event: TradingEvent, meta: Meta) -> Iterable[Operation]:
    """Every fact is a row, never changed again; columns that a fact does not have are empty."""
    values: dict[str, Value] = {"type": type(event).__name__, "time": meta.time, "event_id": meta.id}
    match event:
        case StockBought() | StockSold():
            values |= {
                "symbol": event.symbol,
                "quantity": event.quantity,
                "price": event.price,
                "amount": event.amount,
            }
        case CashDeposited() | CashWithdrawn():
            values["amount"] = event.amount
        case PortfolioOpened():
            pass
        case _:
            assert_never(event)
    return (Append((event.portfolio_id, meta.version), values),)


def on_risk_alerts(event: RiskThresholdBreached, meta: Meta) -> Iterable[Operation]:
    """Every crossing of a limit is a row; one event may lead to several."""
    key = (event.portfolio_id, event.version, event.kind, event.symbol)
    return (Append(key, {"time": meta.time, "value": event.value, "threshold": event.threshold}),)


POSITIONS = Projection(
    domain=TRADING,
    model=Table(
        "positions",
        ("portfolio_id", "symbol"),
        {
            "portfolio_id": "text",
            "symbol": "text",
            "quantity": "decimal",
            "average_cost": "decimal",
            "realised_profit": "decimal",
        },
        migrations=MIGRATIONS / "positions",
    ),
    sources=(TRADING.topic("enriched"),),
    on=on_positions,
)

LEDGER = Projection(
    domain=TRADING,
    model=Table(
        "ledger",
        ("portfolio_id", "version"),
        {
            "portfolio_id": "text",
            "version": "integer",
            "type": "text",
            "time": "time",
            "symbol": "text",
            "quantity": "decimal",
            "price": "decimal",
            "amount": "decimal",
            "event_id": "text",
        },
        migrations=MIGRATIONS / "ledger",
    ),
    sources=(TRADING.topic("events"),),
    on=on_ledger,
)

RISK_ALERTS = Projection(
    domain=TRADING,
    model=Table(
        "risk_alerts",
        ("portfolio_id", "version", "kind", "symbol"),
        {
            "portfolio_id": "text",
            "version": "integer",
            "kind": "text",
            "symbol": "text",
            "time": "time",
            "value": "decimal",
            "threshold": "decimal",
        },
        migrations=MIGRATIONS / "risk_alerts",
    ),
    sources=(TRADING.topic("enriched"),),
    on=on_risk_alerts,
)
