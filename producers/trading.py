"""Commands to try trading with: portfolios are opened and paid into, then trade; a few commands are refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from eventlog.envelope import time_text
from eventlog.roles import Source
from schemas.trading import TRADING

SAMPLE_START = datetime(2024, 1, 2, 14, 30, tzinfo=UTC)
SAMPLE_PRICES = {
    "AAPL": Decimal("175.00"),
    "AMZN": Decimal("151.50"),
    "BRK.B": Decimal("362.40"),
    "KO": Decimal("59.10"),
    "MSFT": Decimal("371.25"),
    "NVDA": Decimal("950.00"),
    "T": Decimal("17.05"),
    "XOM": Decimal("102.30"),
}
COMMANDS_PER_PORTFOLIO = 40
"""On average, so that a larger sample has more portfolios."""
REFUSED_SHARE = 0.02
"""Of the commands after the opening ones are made so that they are refused."""
_STEP = timedelta(milliseconds=20)
_OWNERS = ("ada", "blaise", "carl", "dorothy", "emmy", "felix", "grace", "henri")

Command = tuple[str, dict[str, Any]]


def sample(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """`count` commands as CloudEvents, 20 ms apart; the same ones for the same seed."""
    for number, (kind, data) in zip(range(count), _commands(count, seed), strict=False):
        yield {
            "specversion": "1.0",
            "type": kind,
            "id": f"sample-{seed}-{number:07d}",
            "source": "onefact/sample",
            "time": time_text(SAMPLE_START + number * _STEP),
            "data": data,
        }


def _commands(count: int, seed: int) -> Iterator[Command]:
    draw = Random(seed)  # noqa: S311 - a sample, not a secret
    floor = _Floor(draw)
    portfolios = [f"sample-{seed}-{n:05d}" for n in range(max(1, count // COMMANDS_PER_PORTFOLIO))]
    for portfolio in portfolios:
        margin = draw.random() < 0.25
        owner = draw.choice(_OWNERS)
        yield "OpenPortfolio", {"portfolio_id": portfolio, "owner": owner, "currency": "USD", "margin": margin}
        yield floor.deposit(portfolio, draw.randint(10, 200) * 1000)
    while True:
        portfolio = draw.choice(portfolios)
        refused = draw.random() < REFUSED_SHARE
        yield floor.refused(portfolio) if refused else floor.act(portfolio)


class _Floor:
    """What the sample's customers have, so that most of what they ask for can be done."""

    def __init__(self, draw: Random) -> None:
        self.draw = draw
        self.prices = dict(SAMPLE_PRICES)
        self.symbols = sorted(self.prices)
        self.cash: dict[str, Decimal] = {}
        self.shares: dict[str, dict[str, int]] = {}

    def deposit(self, portfolio: str, amount: int) -> Command:
        self.cash[portfolio] = self.cash.get(portfolio, Decimal(0)) + amount
        return "DepositCash", {"portfolio_id": portfolio, "amount": str(amount)}

    def act(self, portfolio: str) -> Command:
        """Buy with what is there, sell what is held, now and then pay in or take out."""
        chance = self.draw.random()
        symbol, price = self._quote()
        held = self.shares.setdefault(portfolio, {}).get(symbol, 0)
        affordable = int(self.cash[portfolio] / price)
        if chance < 0.05 or (affordable == 0 and held == 0):
            return self.deposit(portfolio, self.draw.randint(1, 50) * 100)
        if chance < 0.08 and self.cash[portfolio] >= 100:
            amount = self.draw.randint(1, int(self.cash[portfolio] / 100)) * 50
            self.cash[portfolio] -= amount
            return "WithdrawCash", {"portfolio_id": portfolio, "amount": str(amount)}
        if held and (chance < 0.45 or affordable == 0):
            return self._trade("SellStock", portfolio, symbol, -self.draw.randint(1, held), price)
        return self._trade("BuyStock", portfolio, symbol, self.draw.randint(1, max(1, affordable // 4)), price)

    def refused(self, portfolio: str) -> Command:
        """A command that nobody can be granted."""
        symbol, price = self._quote()
        wrong: list[Command] = [
            ("OpenPortfolio", {"portfolio_id": portfolio, "owner": "nobody", "currency": "USD", "margin": False}),
            ("DepositCash", {"portfolio_id": portfolio, "amount": "0"}),
            ("DepositCash", {"portfolio_id": f"{portfolio}-missing", "amount": "100"}),
            (
                "BuyStock",
                {"portfolio_id": portfolio, "symbol": symbol, "quantity": "NaN", "price": str(price)},
            ),
            (
                "SellStock",
                {"portfolio_id": portfolio, "symbol": symbol, "quantity": "1" * 40, "price": str(price)},
            ),
        ]
        return self.draw.choice(wrong)

    def _quote(self) -> tuple[str, Decimal]:
        symbol = self.draw.choice(self.symbols)
        moved = self.prices[symbol] * (10_000 + self.draw.randint(-50, 50)) / 10_000
        self.prices[symbol] = max(moved.quantize(Decimal("0.01")), Decimal("0.01"))
        return symbol, self.prices[symbol]

    def _trade(self, kind: str, portfolio: str, symbol: str, bought: int, price: Decimal) -> Command:
        self.cash[portfolio] -= bought * price
        self.shares[portfolio][symbol] = self.shares[portfolio].get(symbol, 0) + bought
        quantity = str(abs(bought))
        return kind, {"portfolio_id": portfolio, "symbol": symbol, "quantity": quantity, "price": str(price)}


SOURCE = Source(domain=TRADING, sample=sample)
