"""Trading's messages in short, all for one portfolio."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from eventlog.decimals import places
from schemas.trading import (
    BuyStock,
    CashDeposited,
    CashWithdrawn,
    DepositCash,
    OpenPortfolio,
    PortfolioOpened,
    SellStock,
    StockBought,
    StockSold,
    WithdrawCash,
)

P = "p1"
T0 = datetime(2024, 1, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def d(number: str | int) -> Decimal:
    return Decimal(number)


def open_portfolio(**changed: object) -> OpenPortfolio:
    return OpenPortfolio(**{"portfolio_id": P, "owner": "ada", "currency": "USD", **changed})  # type: ignore[arg-type]


def opened(*, margin: bool = False) -> PortfolioOpened:
    return PortfolioOpened(portfolio_id=P, owner="ada", currency="USD", margin=margin)


def deposit(amount: str) -> DepositCash:
    return DepositCash(portfolio_id=P, amount=amount)


def deposited(amount: str) -> CashDeposited:
    return CashDeposited(portfolio_id=P, amount=d(amount))


def withdraw(amount: str) -> WithdrawCash:
    return WithdrawCash(portfolio_id=P, amount=amount)


def withdrawn(amount: str) -> CashWithdrawn:
    return CashWithdrawn(portfolio_id=P, amount=d(amount))


def buy(quantity: str, symbol: str, price: str) -> BuyStock:
    return BuyStock(portfolio_id=P, symbol=symbol, quantity=quantity, price=price)


def sell(quantity: str, symbol: str, price: str) -> SellStock:
    return SellStock(portfolio_id=P, symbol=symbol, quantity=quantity, price=price)


def bought(quantity: str, symbol: str, price: str) -> StockBought:
    amount = places(d(quantity) * d(price))
    return StockBought(portfolio_id=P, symbol=symbol, quantity=d(quantity), price=d(price), amount=amount)


def sold(quantity: str, symbol: str, price: str) -> StockSold:
    amount = places(d(quantity) * d(price))
    return StockSold(portfolio_id=P, symbol=symbol, quantity=d(quantity), price=d(price), amount=amount)
