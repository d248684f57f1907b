"""A position by average cost: what it was paid with, and what its trades have earned."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import msgspec

from eventlog.decimals import ZERO, places


class Position(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Shares of one symbol. A short position has a negative quantity and a negative cost (what it was sold for)."""

    quantity: Decimal
    cost: Decimal
    """Of the shares that are open now, exact to 12 places; `average_cost` derives from it, never the reverse."""
    realised: Decimal
    """Profit of all trades so far."""
    price: Decimal
    """Of the portfolio's own last trade."""
    time: datetime
    """Of the portfolio's own last trade."""

    @property
    def average_cost(self) -> Decimal:
        """Cost of one open share, above 0 for short ones too; 0 where none is open."""
        return places(self.cost / self.quantity) if self.quantity else ZERO


def traded(before: Position | None, bought: Decimal, spent: Decimal, price: Decimal, time: datetime) -> Position:
    """The position after a trade of `bought` shares for `spent` money, both negative for a sale.

    - The trade opens or adds (no position, or the same sign): quantity += bought, cost += spent, no profit.
    - The trade closes at most all (opposite sign, |bought| <= |quantity|): the part of the cost that goes is
      released = cost x |bought| / |quantity|, rounded to 12 places; when all is closed, what is left of the cost.
      profit = -spent - released, quantity += bought, cost -= released.
    - The trade crosses zero (opposite sign, |bought| > |quantity|): it is two trades at one price. The one
      that closes has spent x |quantity| / |bought|, rounded to 12 places, the one that opens has the rest.

    So that, exactly, at any time: cost = sum of all `spent` + realised.
    """
    if before is None:
        return Position(bought, spent, ZERO, price, time)
    held, cost = before.quantity, before.cost
    after = held + bought
    if not held or (held > ZERO) == (bought > ZERO):
        return Position(after, cost + spent, before.realised, price, time)
    if not after:
        released, closing = cost, spent
    elif (after > ZERO) == (held > ZERO):
        released, closing = places(-bought * cost / held), spent
    else:
        released, closing = cost, places(-held * spent / bought)
    return Position(after, cost - released + spent - closing, before.realised - closing - released, price, time)
