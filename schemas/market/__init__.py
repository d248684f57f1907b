"""The market's vocabulary: what a share was last paid or quoted at, the same for everybody who asks."""

from __future__ import annotations

from typing import ClassVar

from eventlog.message import Event, Money
from eventlog.topics import Domain, Topic


class PriceQuoted(Event, frozen=True, kw_only=True):
    """A symbol was quoted, or traded, at this price."""

    stream_field: ClassVar[str] = "symbol"
    namespace: ClassVar[str] = "onefact.market"

    symbol: str
    price: Money


MARKET_PRICES = Topic("market.prices", (PriceQuoted,), compacted=True)
"""The newest quote of each symbol; clients publish to it, and every trade quotes its own price."""

MARKET = Domain("market", facts=(MARKET_PRICES,))
