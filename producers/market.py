"""Quotes to try the market with."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from eventlog.envelope import time_text
from eventlog.roles import Source
from schemas.market import MARKET

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
_STEP = timedelta(milliseconds=250)


def wander(price: Decimal, draw: Random) -> Decimal:
    """The price a moment later: up to half a per cent away, in cents, never below one."""
    moved = price * (10_000 + draw.randint(-50, 50)) / 10_000
    return max(moved.quantize(Decimal("0.01")), Decimal("0.01"))


def sample(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """`count` quotes as CloudEvents, a quarter of a second apart; the same ones for the same seed."""
    draw = Random(seed)  # noqa: S311 - a sample, not a secret
    prices = dict(SAMPLE_PRICES)
    symbols = sorted(prices)
    for number in range(count):
        symbol = draw.choice(symbols)
        prices[symbol] = wander(prices[symbol], draw)
        yield {
            "specversion": "1.0",
            "type": "PriceQuoted",
            "id": f"quote-{seed}-{number:07d}",
            "source": "onefact/sample",
            "time": time_text(SAMPLE_START + number * _STEP),
            "data": {"symbol": symbol, "price": str(prices[symbol])},
        }


SOURCE = Source(domain=MARKET, sample=sample)
