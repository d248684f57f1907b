"""Inventory's vocabulary: what is in stock of each product, and for which orders it is reserved."""

from __future__ import annotations

from typing import ClassVar

from eventlog.message import Command, Event, Number
from eventlog.topics import Domain

NAMESPACE = "onefact.inventory"


class StockCommand(Command, frozen=True, kw_only=True):
    """Base of the commands: each is for one product."""

    stream_field: ClassVar[str] = "sku"
    namespace: ClassVar[str] = NAMESPACE

    sku: str


class StockEvent(Event, frozen=True, kw_only=True):
    """Base of the events: each is of one product, and says what there is of it afterwards."""

    stream_field: ClassVar[str] = "sku"
    namespace: ClassVar[str] = NAMESPACE

    sku: str
    on_hand: int
    """Pieces that are there, those reserved among them; never below `reserved`."""
    reserved: int
    """Pieces that are there and kept for an order; never negative."""
    shipped: int
    """Pieces that have left, since the first. `on_hand` + `shipped` is what was ever received."""


class ReceiveStock(StockCommand, frozen=True, kw_only=True):
    """Take pieces in."""

    quantity: Number


class ReserveStock(StockCommand, frozen=True, kw_only=True):
    """Keep pieces for an order. Refused when there are too few, or after the order's release."""

    order_id: str
    quantity: Number


class ReleaseStock(StockCommand, frozen=True, kw_only=True):
    """Keep nothing for an order any more; a reservation of it that comes later is refused."""

    order_id: str


class ShipStock(StockCommand, frozen=True, kw_only=True):
    """Send away what is kept for an order."""

    order_id: str


class StockReceived(StockEvent, frozen=True, kw_only=True):
    """Pieces came in."""

    quantity: int


class StockReserved(StockEvent, frozen=True, kw_only=True):
    """Pieces are kept for an order."""

    order_id: str
    quantity: int


class StockReleased(StockEvent, frozen=True, kw_only=True):
    """Nothing is kept for an order any more."""

    order_id: str
    quantity: int
    """What was kept; 0 where nothing was."""


class StockShipped(StockEvent, frozen=True, kw_only=True):
    """What was kept for an order has left."""

    order_id: str
    quantity: int


InventoryCommand = ReceiveStock | ReserveStock | ReleaseStock | ShipStock
InventoryEvent = StockReceived | StockReserved | StockReleased | StockShipped

INVENTORY = Domain(
    "inventory",
    commands=(ReceiveStock, ReserveStock, ReleaseStock, ShipStock),
    events=(StockReceived, StockReserved, StockReleased, StockShipped),
)
