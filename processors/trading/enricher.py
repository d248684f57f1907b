"""What a trading fact means: the profit of a trade, the portfolio's value, and the limits of risk it goes over.

For every event, in this order: `TradeProfitCalculated` (trades only, by `processors.trading.position`),
`PortfolioValueUpdated`, `RiskThresholdBreached` (one for each limit newly gone over), and `PriceQuoted`
(trades only). With q the quantity and p the last known price of each open position:

- equity = cash + sum of q x p; gross value = sum of |q x p|; each rounded once, half to even, to 12 places.
- A position is over its limit where |q x p| > 40 % of gross value, the portfolio where gross value > 4 x equity.
  A limit is judged at each of the portfolio's events. It is stated when it is gone over, and again only
  after an event at which it was kept: once per crossing.
- The last known price of a symbol is the newer of its quote in `market.prices` and the portfolio's own
  last trade of it; the trade's, where both have the same time.
- A trade quotes its price to `market.prices`, unless a later quote is there already.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import assert_never

import msgspec

from eventlog.decimals import ZERO, places
from eventlog.message import Event
from eventlog.roles import Enricher, References, ReferenceTable
from processors.trading.position import Position, traded
from schemas.market import MARKET_PRICES, PriceQuoted
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

CONCENTRATION_MAX = Decimal("0.4")
"""Of gross value, in one position."""
LEVERAGE_MAX = Decimal(4)
"""Gross value against equity."""
LEVERAGE = ""
"""The entry of `Account.over` that stands for the whole portfolio; no symbol is empty."""


class Account(msgspec.Struct, frozen=True, gc=False):
    """What enrichment remembers of a portfolio. A closed position stays, for its realised profit."""

    version: int = 0
    cash: Decimal = ZERO
    positions: dict[str, Position] = {}
    over: frozenset[str] = frozenset()
    """Symbols whose positions are over their limit now, and `LEVERAGE`."""


def enrich(
    event: TradingEvent, state: Account | None, references: References, time: datetime
) -> tuple[list[Event], Account]:
    """The facts that follow from an event, and the account after it."""
    account = state or Account()
    quotes = references[MARKET_PRICES.name]
    match event:
        case StockBought() | StockSold():
            return _trade(event, account, quotes, time)
        case CashDeposited():
            return _value(event.portfolio_id, _next(account, event.amount), quotes)
        case CashWithdrawn():
            return _value(event.portfolio_id, _next(account, -event.amount), quotes)
        case PortfolioOpened():
            return _value(event.portfolio_id, _next(account, ZERO), quotes)
        case _:
            assert_never(event)


ENRICHER = Enricher(domain=TRADING, enrich=enrich, state=Account, references=(MARKET_PRICES,), also=(MARKET_PRICES,))


def _next(account: Account, received: Decimal) -> Account:
    return Account(account.version + 1, account.cash + received, account.positions, account.over)


def _trade(
    event: StockBought | StockSold, account: Account, quotes: ReferenceTable, time: datetime
) -> tuple[list[Event], Account]:
    if isinstance(event, StockBought):
        bought, spent = event.quantity, event.amount
    else:
        bought, spent = -event.quantity, -event.amount
    symbol = event.symbol
    before = account.positions.get(symbol)
    after = traded(before, bought, spent, event.price, time)
    positions = account.positions.copy()
    positions[symbol] = after
    account = Account(account.version + 1, account.cash - spent, positions, account.over)
    facts: list[Event] = [_profit(event, account.version, before, after)]
    valued, account = _value(event.portfolio_id, account, quotes)
    facts += valued
    quoted = quotes.get(symbol)
    if quoted is None or quoted[1] <= time:
        facts.append(PriceQuoted(symbol=symbol, price=event.price))
    return facts, account


def _profit(
    event: StockBought | StockSold, version: int, before: Position | None, after: Position
) -> TradeProfitCalculated:
    return TradeProfitCalculated(
        portfolio_id=event.portfolio_id,
        symbol=event.symbol,
        version=version,
        quantity=after.quantity,
        average_cost=after.average_cost,
        profit=after.realised - before.realised if before else ZERO,
        realised_profit=after.realised,
    )


def _value(portfolio_id: str, account: Account, quotes: ReferenceTable) -> tuple[list[Event], Account]:
    """`PortfolioValueUpdated`, then the limits newly gone over."""
    values, net, gross = _values(account.positions, quotes)
    equity = account.cash + net
    facts: list[Event] = [
        PortfolioValueUpdated(
            portfolio_id=portfolio_id,
            version=account.version,
            cash=account.cash,
            equity=places(equity),
            gross_value=places(gross),
        )
    ]
    over = _over(values, equity, gross)
    if not over and not account.over:
        return facts, account
    for symbol, (value, limit) in over.items():
        if symbol not in account.over:
            facts.append(_breach(portfolio_id, account.version, symbol, value, limit))
    return facts, Account(account.version, account.cash, account.positions, frozenset(over))


def _values(positions: dict[str, Position], quotes: ReferenceTable) -> tuple[dict[str, Decimal], Decimal, Decimal]:
    """Value of each open position without its sign, their sum with signs, and their sum without."""
    values: dict[str, Decimal] = {}
    net = gross = ZERO
    for symbol, position in positions.items():
        if position.quantity:
            quoted = quotes.get(symbol)
            price = position.price if quoted is None or quoted[1] <= position.time else quoted[0].price
            value = position.quantity * price
            net += value
            values[symbol] = size = abs(value)
            gross += size
    return values, net, gross


def _over(values: dict[str, Decimal], equity: Decimal, gross: Decimal) -> dict[str, tuple[Decimal, Decimal]]:
    """Every limit that is not kept, as value and limit by symbol; at most two positions can be over 40 % at once."""
    limit = gross * CONCENTRATION_MAX
    over = {symbol: (value, limit) for symbol, value in values.items() if value > limit}
    limit = equity * LEVERAGE_MAX
    if gross > limit:
        over[LEVERAGE] = (gross, limit)
    return over


def _breach(portfolio_id: str, version: int, symbol: str, value: Decimal, limit: Decimal) -> RiskThresholdBreached:
    return RiskThresholdBreached(
        portfolio_id=portfolio_id,
        version=version,
        kind="leverage" if symbol == LEVERAGE else "concentration",
        symbol=symbol,
        value=places(value),
        threshold=places(limit),
    )
