"""What customers look at: an order's page, and the list of their orders."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from eventlog.envelope import Meta
from eventlog.models import Hash, Timeline, Value
from eventlog.operations import Operation, Put
from eventlog.roles import Projection
from schemas.orders import (
    ORDERS,
    CustomerNotified,
    OrderCancelled,
    OrderCancelRequested,
    OrderConfirmed,
    OrderPlaced,
    OrdersEvent,
)


def on_order(event: OrdersEvent, meta: Meta) -> Iterable[Operation]:
    """The page shows what was ordered, where it stands, and the last message to the customer."""
    known: dict[str, Value] = {"customer_id": event.customer_id, "version": meta.version, "as_of": meta.time}
    match event:
        case OrderPlaced():
            known |= {"status": "placed", "currency": event.currency, "total": event.total}
            known |= {f"lines.{line.sku}": line.quantity for line in event.lines}
        case OrderCancelRequested():
            known["status"] = "cancelling"
        case OrderConfirmed():
            known["status"] = "confirmed"
        case OrderCancelled():
            known |= {"status": "cancelled", "reason": event.reason}
        case CustomerNotified():
            known["message"] = event.text
        case _:
            assert_never(event)
    return (Put((event.order_id,), known),)


def on_customer_orders(event: OrderPlaced, meta: Meta) -> Iterable[Operation]:
    """A customer's orders by when they were placed."""
    return (Put((event.customer_id,), {f"orders.{event.order_id}": meta.time}),)


ORDER = Projection(
    domain=ORDERS,
    model=Hash(
        "order",
        ("order_id",),
        {
            "order_id": "text",
            "customer_id": "text",
            "status": "text",
            "reason": "text",
            "currency": "text",
            "total": "decimal",
            "lines": "integer",
            "message": "text",
            "version": "integer",
            "as_of": "time",
        },
        maps={"lines": "integer"},
    ),
    sources=(ORDERS.topic("events"),),
    on=on_order,
)

CUSTOMER_ORDERS = Projection(
    domain=ORDERS,
    model=Timeline(
        "customer-orders", ("customer_id",), {"customer_id": "text", "orders": "time"}, maps={"orders": "time"}
    ),
    sources=(ORDERS.topic("events"),),
    on=on_customer_orders,
)
