"""Orders' tables: a row per order, and a row per thing that happened to it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import assert_never

import msgspec

from eventlog.decimals import text
from eventlog.envelope import Meta
from eventlog.models import Table, Value
from eventlog.operations import Append, Operation, Put
from eventlog.roles import Projection
from schemas.orders import (
    ORDERS,
    CustomerNotified,
    Line,
    OrderCancelled,
    OrderCancelRequested,
    OrderConfirmed,
    OrderPlaced,
    OrdersEvent,
)

MIGRATIONS = Path(__file__).parent / "migrations"


def on_orders(event: OrdersEvent, meta: Meta) -> Iterable[Operation]:
    """An order is what was placed, and the last thing that became of it with the time of each."""
    known: dict[str, Value] = {"version": meta.version, "customer_id": event.customer_id}
    match event:
        case OrderPlaced():
            known |= {
                "status": "placed",
                "currency": event.currency,
                "total": event.total,
                "lines": lines_text(event.lines),
                "placed_at": meta.time,
            }
        case OrderCancelRequested():
            known |= {"status": "cancelling", "reason": event.reason, "cancel_asked_at": meta.time}
        case OrderConfirmed():
            known |= {"status": "confirmed", "confirmed_at": meta.time}
        case OrderCancelled():
            known |= {"status": "cancelled", "reason": event.reason, "cancelled_at": meta.time}
        case CustomerNotified():
            known["notified_at"] = meta.time
        case _:
            assert_never(event)
    return (Put((event.order_id,), known),)


def on_order_history(event: OrdersEvent, meta: Meta) -> Iterable[Operation]:
    """Every fact is a row, never changed again; what it says is in words, where it says more than its type."""
    said = {
        OrderCancelRequested: "reason",
        OrderCancelled: "reason",
        CustomerNotified: "text",
    }.get(type(event))
    values: dict[str, Value] = {"type": type(event).__name__, "time": meta.time, "event_id": meta.id}
    values["said"] = getattr(event, said) if said else None
    return (Append((event.order_id, meta.version), values),)


def lines_text(lines: Iterable[Line]) -> str:
    """Lines as a JSON array, in their order; money as text."""
    shown = [{"sku": line.sku, "quantity": line.quantity, "unit_price": text(line.unit_price)} for line in lines]
    return msgspec.json.encode(shown).decode()


ORDERS_TABLE = Projection(
    domain=ORDERS,
    model=Table(
        "orders",
        ("order_id",),
        {
            "order_id": "text",
            "customer_id": "text",
            "status": "text",
            "reason": "text",
            "currency": "text",
            "total": "decimal",
            "lines": "text",
            "placed_at": "time",
            "cancel_asked_at": "time",
            "confirmed_at": "time",
            "cancelled_at": "time",
            "notified_at": "time",
            "version": "integer",
        },
        migrations=MIGRATIONS / "orders",
    ),
    sources=(ORDERS.topic("events"),),
    on=on_orders,
)

ORDER_HISTORY = Projection(
    domain=ORDERS,
    model=Table(
        "order_history",
        ("order_id", "version"),
        {
            "order_id": "text",
            "version": "integer",
            "type": "text",
            "time": "time",
            "said": "text",
            "event_id": "text",
        },
        migrations=MIGRATIONS / "order_history",
    ),
    sources=(ORDERS.topic("events"),),
    on=on_order_history,
)
