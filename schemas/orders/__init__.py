"""Orders' vocabulary: what customers order, and what becomes of it."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from eventlog.message import Command, Event, Money, Number
from eventlog.topics import Domain

NAMESPACE = "onefact.orders"


class AskedLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of an order as the customer wrote it."""

    sku: str
    quantity: Number
    unit_price: Number


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line of an order that was taken."""

    sku: str
    quantity: int
    """At least 1."""
    unit_price: Money


class OrderCommand(Command, frozen=True, kw_only=True):
    """Base of the commands: each is for one order."""

    stream_field: ClassVar[str] = "order_id"
    namespace: ClassVar[str] = NAMESPACE

    order_id: str


class OrderEvent(Event, frozen=True, kw_only=True):
    """Base of the events: each is of one order."""

    stream_field: ClassVar[str] = "order_id"
    namespace: ClassVar[str] = NAMESPACE

    order_id: str


class PlaceOrder(OrderCommand, frozen=True, kw_only=True):
    """Order 1 to 1,000 products, each in one line."""

    customer_id: str
    currency: str
    """One of ISO 4217, such as GBP."""
    lines: tuple[AskedLine, ...]


class CancelOrder(OrderCommand, frozen=True, kw_only=True):
    """Ask that an order be cancelled, which it can be until it is confirmed."""

    reason: str


class ConfirmOrder(OrderCommand, frozen=True, kw_only=True):
    """Confirm an order, and notify the customer. Sent by fulfilment, once all is reserved and paid."""


class CloseOrder(OrderCommand, frozen=True, kw_only=True):
    """End an order as cancelled, and notify the customer. Sent by fulfilment, once all that was done is undone."""

    reason: str


class OrderPlaced(OrderEvent, frozen=True, kw_only=True):
    """An order was taken; nothing is reserved or paid yet."""

    customer_id: str
    currency: str
    lines: tuple[Line, ...]
    total: Money
    """The sum of quantity x unit price, rounded half to even to 12 places."""


class OrderCancelRequested(OrderEvent, frozen=True, kw_only=True):
    """The customer wants the order cancelled; what was done for it is to be undone first."""

    customer_id: str
    reason: str


class OrderConfirmed(OrderEvent, frozen=True, kw_only=True):
    """Everything is reserved and paid; the order can no longer be cancelled."""

    customer_id: str
    currency: str
    lines: tuple[Line, ...]
    total: Money


class OrderCancelled(OrderEvent, frozen=True, kw_only=True):
    """The order came to nothing: nothing is reserved for it any more, and nothing charged."""

    customer_id: str
    currency: str
    lines: tuple[Line, ...]
    total: Money
    reason: str


class CustomerNotified(OrderEvent, frozen=True, kw_only=True):
    """What the customer is told; the fact is the notification, and whoever delivers it reads it here."""

    customer_id: str
    kind: str
    """`confirmed` or `cancelled`."""
    text: str


OrdersCommand = PlaceOrder | CancelOrder | ConfirmOrder | CloseOrder
OrdersEvent = OrderPlaced | OrderCancelRequested | OrderConfirmed | OrderCancelled | CustomerNotified

ORDERS = Domain(
    "orders",
    commands=(PlaceOrder, CancelOrder, ConfirmOrder, CloseOrder),
    events=(OrderPlaced, OrderCancelRequested, OrderConfirmed, OrderCancelled, CustomerNotified),
)
