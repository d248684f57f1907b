"""What a campaign over the saga publishes: stock that is short of some products, orders, and cancels."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from random import Random

from eventlog.message import Command
from schemas.inventory import ReceiveStock
from schemas.orders import AskedLine, CancelOrder, PlaceOrder

SKU_COUNT = 12
SHORT_SHARE = 0.7
"""Of what is ordered of a product is there, of every fourth product."""
CANCEL_SHARE, TWICE_SHARE = 0.1, 0.1


@dataclass(frozen=True)
class Ordered:
    """One order: what it wants, and whether its customer changes their mind."""

    place: PlaceOrder
    cancel: CancelOrder | None
    twice: bool

    @property
    def id(self) -> str:
        return self.place.order_id

    @property
    def pieces(self) -> dict[str, int]:
        return {line.sku: int(line.quantity) for line in self.place.lines}

    @property
    def total(self) -> Decimal:
        return sum((int(line.quantity) * Decimal(line.unit_price) for line in self.place.lines), Decimal(0))


@dataclass(frozen=True)
class Market:
    """A campaign's own products and orders."""

    stock: dict[str, int]
    orders: dict[str, Ordered]

    def received(self, mark: str) -> list[tuple[str, Command]]:
        """The commands that bring the stock in."""
        return [
            (f"{mark}:stock:{sku}", ReceiveStock(sku=sku, quantity=str(pieces))) for sku, pieces in self.stock.items()
        ]


def make(draw: Random, mark: str, count: int) -> Market:
    """`count` orders of products whose names begin with `mark`."""
    skus = [f"{mark}-s{number}" for number in range(SKU_COUNT)]
    orders = {}
    for number in range(count):
        order = f"{mark}-o{number}"
        lines = tuple(
            AskedLine(
                sku=sku, quantity=str(draw.randint(1, 4)), unit_price=f"{draw.randint(1, 90)}.{draw.randrange(100):02d}"
            )
            for sku in draw.sample(skus, draw.randint(1, 5))
        )
        place = PlaceOrder(order_id=order, customer_id=f"c{draw.randrange(40)}", currency="GBP", lines=lines)
        cancel = CancelOrder(order_id=order, reason="no longer") if draw.random() < CANCEL_SHARE else None
        orders[order] = Ordered(place, cancel, draw.random() < TWICE_SHARE)
    wanted = dict.fromkeys(skus, 0)
    for each in orders.values():
        for sku, pieces in each.pieces.items():
            wanted[sku] += pieces
    stock = {
        sku: max(1, int(pieces * SHORT_SHARE)) if number % 4 == 0 else max(1, pieces)
        for number, (sku, pieces) in enumerate(wanted.items())
    }
    return Market(stock, orders)
