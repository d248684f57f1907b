"""The market as a table: each symbol's newest price."""

from __future__ import annotations

from collections.abc import Iterable

from eventlog.envelope import Meta
from eventlog.models import Hash
from eventlog.operations import Operation, Put
from eventlog.roles import Projection
from schemas.market import MARKET, MARKET_PRICES, PriceQuoted


def on_prices(event: PriceQuoted, meta: Meta) -> Iterable[Operation]:
    """The last quote of a symbol in the topic's order is its price."""
    return (Put((event.symbol,), {"price": event.price, "as_of": meta.time}),)


PRICES = Projection(
    domain=MARKET,
    model=Hash("prices", ("symbol",), {"symbol": "text", "price": "decimal", "as_of": "time"}),
    sources=(MARKET_PRICES,),
    on=on_prices,
)
