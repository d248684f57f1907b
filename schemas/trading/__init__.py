"""Trading's vocabulary: portfolios that hold cash and shares, the trades in them, and what those trades mean."""

from __future__ import annotations

from typing import ClassVar

from eventlog.message import Command, Event, Money, Number, Valuation
from eventlog.topics import Domain

NAMESPACE = "onefact.trading"


class PortfolioCommand(Command, frozen=True, kw_only=True):
    """Base of the commands: each is for one portfolio."""

    stream_field: ClassVar[str] = "portfolio_id"
    namespace: ClassVar[str] = NAMESPACE

    portfolio_id: str


class PortfolioEvent(Event, frozen=True, kw_only=True):
    """Base of the events: each is of one portfolio."""

    stream_field: ClassVar[str] = "portfolio_id"
    namespace: ClassVar[str] = NAMESPACE

    portfolio_id: str


class OpenPortfolio(PortfolioCommand, frozen=True, kw_only=True):
    """Open a portfolio; a margin account may owe cash and shares, a cash account may not."""

    owner: str
    currency: str
    margin: bool = False


class DepositCash(PortfolioCommand, frozen=True, kw_only=True):
    """Pay cash into a portfolio."""

    amount: Number


class WithdrawCash(PortfolioCommand, frozen=True, kw_only=True):
    """Take cash out of a portfolio."""

    amount: Number


class BuyStock(PortfolioCommand, frozen=True, kw_only=True):
    """Buy shares at a price; where shares are owed, this pays them back."""

    symbol: str
    quantity: Number
    price: Number


class SellStock(PortfolioCommand, frozen=True, kw_only=True):
    """Sell shares at a price; a margin account may sell more than it holds."""

    symbol: str
    quantity: Number
    price: Number


class PortfolioOpened(PortfolioEvent, frozen=True, kw_only=True):
    """A portfolio was opened, empty."""

    owner: str
    currency: str
    margin: bool


class CashDeposited(PortfolioEvent, frozen=True, kw_only=True):
    """Cash was paid in."""

    amount: Money


class CashWithdrawn(PortfolioEvent, frozen=True, kw_only=True):
    """Cash was taken out."""

    amount: Money


class StockBought(PortfolioEvent, frozen=True, kw_only=True):
    """Shares were bought; `amount` is what was paid: quantity x price, rounded half to even to 12 places."""

    symbol: str
    quantity: Money
    price: Money
    amount: Money


class StockSold(PortfolioEvent, frozen=True, kw_only=True):
    """Shares were sold; `amount` is what was received: quantity x price, rounded half to even to 12 places."""

    symbol: str
    quantity: Money
    price: Money
    amount: Money


class TradeProfitCalculated(PortfolioEvent, frozen=True, kw_only=True):
    """A trade's effect on its position, by average cost."""

    symbol: str
    version: int
    """Of the portfolio after the trade."""
    quantity: Money
    """Shares held after the trade; negative ones are owed."""
    average_cost: Valuation
    """What a share that is held was paid with, or a share that is owed was sold for; 0 where there is none."""
    profit: Valuation
    """Realised by this trade; a loss is negative."""
    realised_profit: Valuation
    """Realised by the position since its first trade."""


class PortfolioValueUpdated(PortfolioEvent, frozen=True, kw_only=True):
    """What a portfolio was worth right after one of its events, at the last known prices."""

    version: int
    """Of the portfolio after the event."""
    cash: Money
    equity: Valuation
    """Cash, plus what is held, less what is owed."""
    gross_value: Valuation
    """What is held plus what is owed."""


class RiskThresholdBreached(PortfolioEvent, frozen=True, kw_only=True):
    """A portfolio went over a limit of risk; stated once, until it has been back within the limit."""

    version: int
    """Of the portfolio after the event that took it over the limit."""
    kind: str
    """`concentration` (one position against gross value) or `leverage` (gross value against equity)."""
    symbol: str
    """Of the position that is too large; empty for leverage."""
    value: Valuation
    """Of the position for concentration, the gross value for leverage."""
    threshold: Valuation
    """What `value` may be at most: 40 % of gross value, or 4 times equity."""


TradingCommand = OpenPortfolio | DepositCash | WithdrawCash | BuyStock | SellStock
TradingEvent = PortfolioOpened | CashDeposited | CashWithdrawn | StockBought | StockSold

TRADING = Domain(
    "trading",
    commands=(OpenPortfolio, DepositCash, WithdrawCash, BuyStock, SellStock),
    events=(PortfolioOpened, CashDeposited, CashWithdrawn, StockBought, StockSold),
    enriched=(TradeProfitCalculated, PortfolioValueUpdated, RiskThresholdBreached),
)
