"""What trading must decide and what its trades must earn, worked out anew from its rules: shares no code with it."""

from __future__ import annotations

import decimal
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

EXACT = decimal.Context(prec=120, rounding=decimal.ROUND_HALF_EVEN)
UNIT = Decimal("1e-12")
NOTHING = Decimal(0)


def rounded(number: Decimal) -> Decimal:
    return number.quantize(UNIT, context=EXACT)


@dataclass
class Holding:
    """One symbol in one portfolio, by average cost."""

    quantity: Decimal = NOTHING
    cost: Decimal = NOTHING
    realised: Decimal = NOTHING

    def trade(self, bought: Decimal, spent: Decimal) -> None:
        """Shares that come for money that goes; both negative for a sale."""
        if self.quantity * bought >= 0:  # opened, or more of the same
            self.quantity, self.cost = self.quantity + bought, EXACT.add(self.cost, spent)
            return
        closing = min(abs(bought), abs(self.quantity))
        released, paid = self.cost, spent
        if closing < abs(self.quantity):
            released = rounded(EXACT.divide(EXACT.multiply(self.cost, closing), abs(self.quantity)))
        if closing < abs(bought):
            paid = rounded(EXACT.divide(EXACT.multiply(spent, closing), abs(bought)))
        self.realised -= released + paid
        self.cost += spent - paid - released
        self.quantity += bought

    @property
    def average(self) -> Decimal:
        return rounded(EXACT.divide(self.cost, self.quantity)) if self.quantity else NOTHING


@dataclass
class Account:
    """A portfolio as its commands, in the log's order, must have left it."""

    opened: bool = False
    margin: bool = False
    cash: Decimal = NOTHING
    paid_in: Decimal = NOTHING
    """Deposits less withdrawals."""
    shares: dict[str, Holding] = field(default_factory=dict)

    def decide(self, kind: str, data: dict[str, Any]) -> tuple[str, dict[str, Any]] | str:
        """The event that a command must lead to, or the code of its refusal."""
        if kind == "OpenPortfolio":
            if self.opened:
                return "already_open"
            self.opened, self.margin = True, data["margin"]
            fields = {name: data[name] for name in ("portfolio_id", "owner", "currency", "margin")}
            return "PortfolioOpened", fields
        if not self.opened:
            return "unknown_portfolio"
        if kind in ("DepositCash", "WithdrawCash"):
            return self._money(kind, data)
        return self._trade(kind, data)

    def _money(self, kind: str, data: dict[str, Any]) -> tuple[str, dict[str, Any]] | str:
        amount = number(data["amount"])
        if isinstance(amount, str):
            return amount
        sign = 1 if kind == "DepositCash" else -1
        if sign < 0 and self.cash < amount and not self.margin:
            return "insufficient_cash"
        self.cash += sign * amount
        self.paid_in += sign * amount
        event = "CashDeposited" if sign > 0 else "CashWithdrawn"
        return event, {"portfolio_id": data["portfolio_id"], "amount": amount}

    def _trade(self, kind: str, data: dict[str, Any]) -> tuple[str, dict[str, Any]] | str:
        quantity, price = number(data["quantity"]), number(data["price"])
        if isinstance(quantity, str):
            return quantity
        if isinstance(price, str):
            return price
        amount = rounded(EXACT.multiply(quantity, price))
        holding = self.shares.get(data["symbol"]) or Holding()
        buys = kind == "BuyStock"
        if buys and self.cash < amount and not self.margin:
            return "insufficient_cash"
        if not buys and holding.quantity < quantity and not self.margin:
            return "insufficient_shares"
        sign = 1 if buys else -1
        self.shares[data["symbol"]] = holding
        holding.trade(sign * quantity, sign * amount)
        self.cash -= sign * amount
        return "StockBought" if buys else "StockSold", {
            "portfolio_id": data["portfolio_id"], "symbol": data["symbol"],
            "quantity": quantity, "price": price, "amount": amount,
        }  # fmt: skip


def number(text: str) -> Decimal | str:
    """A positive number of a command, or why it is none; 26 digits before the point, 12 after it."""
    found = Decimal(text)
    if not found.is_finite():
        return "not_a_number"
    if found >= Decimal(10) ** 26:
        return "too_many_digits"
    return found if found > 0 else "not_positive"
