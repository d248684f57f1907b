"""An order is confirmed or cancelled, never both, and from the moment that it is confirmed no longer cancelled."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import assert_never

import msgspec

from eventlog.decimals import ZERO, fits, parse, places, text
from eventlog.errors import Refused
from eventlog.roles import Decider
from processors.orders.currencies import CURRENCIES
from schemas.orders import (
    ORDERS,
    AskedLine,
    CancelOrder,
    CloseOrder,
    ConfirmOrder,
    CustomerNotified,
    Line,
    OrderCancelled,
    OrderCancelRequested,
    OrderCommand,
    OrderConfirmed,
    OrderPlaced,
    OrdersCommand,
    OrdersEvent,
    PlaceOrder,
)

NAME_LENGTH_MAX = 128
REASON_LENGTH_MAX = 500
LINES_MAX = 1000
QUANTITY_MAX = 1_000_000_000
"""Of one line."""

PLACED, CANCELLING, CONFIRMED, CANCELLED = "placed", "cancelling", "confirmed", "cancelled"


class Order(msgspec.Struct, frozen=True):
    """What decisions about an order read."""

    status: str
    customer_id: str
    currency: str
    lines: tuple[Line, ...]
    total: Decimal


def decide(command: OrdersCommand, state: Order | None, time: datetime) -> tuple[OrdersEvent, ...]:
    """What a command leads to; no event where it was done before.

    Refusals of an order: `already_placed`, `bad_order_id`, `bad_customer_id`, `unknown_currency`, `no_lines`,
    `too_many_lines`, `bad_sku`, `duplicate_sku`, `not_a_number`, `too_many_digits`, `not_positive`, `not_whole`,
    `too_large`, `negative_price`. Of what comes later: `unknown_order`, `already_cancelling`, `already_confirmed`,
    `already_cancelled`, `bad_reason`.
    """
    del time  # decisions here do not depend on it
    match command:
        case PlaceOrder():
            return (_place(command, state),)
        case CancelOrder():
            return (_request_cancel(command, _known(command, state)),)
        case ConfirmOrder():
            return _confirm(command, _known(command, state))
        case CloseOrder():
            return _close(command, _known(command, state))
        case _:
            assert_never(command)


def evolve(state: Order | None, event: OrdersEvent, time: datetime) -> Order:
    """An order after one more of its events."""
    del time
    if isinstance(event, OrderPlaced):
        return Order(PLACED, event.customer_id, event.currency, event.lines, event.total)
    assert state is not None, "an order's first event is OrderPlaced"
    match event:
        case OrderCancelRequested():
            return msgspec.structs.replace(state, status=CANCELLING)
        case OrderConfirmed():
            return _ended(state, CONFIRMED)
        case OrderCancelled():
            return _ended(state, CANCELLED)
        case CustomerNotified():
            return state
        case _:
            assert_never(event)


DECIDER = Decider(domain=ORDERS, decide=decide, evolve=evolve, state=Order)


def _place(command: PlaceOrder, order: Order | None) -> OrderPlaced:
    if order is not None:
        raise Refused("already_placed", f"order {command.order_id!r} was placed before")
    _check_name("order_id", command.order_id)
    _check_name("customer_id", command.customer_id)
    if command.currency not in CURRENCIES:
        raise Refused(
            "unknown_currency", f"currency must be one of ISO 4217 such as GBP, not {command.currency[:20]!r}"
        )
    if not command.lines:
        raise Refused("no_lines", "an order has at least one line")
    if len(command.lines) > LINES_MAX:
        raise Refused("too_many_lines", f"an order has at most {LINES_MAX} lines, not {len(command.lines)}")
    lines = tuple(_line(asked) for asked in command.lines)
    if len({line.sku for line in lines}) < len(lines):
        # Two prices for one product cannot be told apart later, when some of it is given back.
        raise Refused("duplicate_sku", "each product has one line of an order")
    total = places(sum((line.quantity * line.unit_price for line in lines), ZERO))
    if total <= ZERO or not fits(total):
        raise Refused("too_large" if total else "not_positive", f"the total is {text(total)}")
    return OrderPlaced(
        order_id=command.order_id, customer_id=command.customer_id, currency=command.currency, lines=lines, total=total
    )


def _line(asked: AskedLine) -> Line:
    _check_name("sku", asked.sku)
    quantity, price = parse(asked.quantity, "quantity"), parse(asked.unit_price, "unit_price")
    if quantity <= 0:
        raise Refused("not_positive", f"quantity of {asked.sku} must be above 0")
    if quantity != int(quantity):
        raise Refused("not_whole", f"quantity of {asked.sku} must be a whole number, not {asked.quantity[:60]!r}")
    if quantity > QUANTITY_MAX:
        raise Refused("too_large", f"quantity of {asked.sku} must be at most {QUANTITY_MAX}")
    if price < 0:
        raise Refused("negative_price", f"unit_price of {asked.sku} must not be below 0")
    return Line(sku=asked.sku, quantity=int(quantity), unit_price=price)


def _request_cancel(command: CancelOrder, order: Order) -> OrderCancelRequested:
    if order.status != PLACED:
        raise Refused(f"already_{order.status}", f"order {command.order_id!r} is {order.status}")
    if not (0 < len(command.reason) <= REASON_LENGTH_MAX and command.reason.isprintable()):
        raise Refused("bad_reason", f"reason must be 1 to {REASON_LENGTH_MAX} printable characters")
    return OrderCancelRequested(order_id=command.order_id, customer_id=order.customer_id, reason=command.reason)


def _confirm(command: ConfirmOrder, order: Order) -> tuple[OrdersEvent, ...]:
    if order.status == CONFIRMED:
        return ()
    if order.status != PLACED:
        raise Refused(f"already_{order.status}", f"order {command.order_id!r} is {order.status}")
    order_id, total = command.order_id, f"{text(order.total)} {order.currency}"
    return (
        OrderConfirmed(
            order_id=order_id, customer_id=order.customer_id, currency=order.currency, lines=order.lines,
            total=order.total,
        ),
        CustomerNotified(
            order_id=order_id, customer_id=order.customer_id, kind=CONFIRMED,
            text=f"Your order {order_id} is confirmed. You paid {total}.",
        ),
    )  # fmt: skip


def _close(command: CloseOrder, order: Order) -> tuple[OrdersEvent, ...]:
    if order.status == CANCELLED:
        return ()
    if order.status == CONFIRMED:
        raise Refused("already_confirmed", f"order {command.order_id!r} is confirmed")
    reason = "".join(c if c.isprintable() else " " for c in command.reason)[:REASON_LENGTH_MAX]
    return (
        OrderCancelled(
            order_id=command.order_id, customer_id=order.customer_id, currency=order.currency, lines=order.lines,
            total=order.total, reason=reason,
        ),
        CustomerNotified(
            order_id=command.order_id, customer_id=order.customer_id, kind=CANCELLED,
            text=f"Your order {command.order_id} is cancelled: {reason}. You paid nothing, or have it back.",
        ),
    )  # fmt: skip


def _known(command: OrderCommand, order: Order | None) -> Order:
    if order is None:
        raise Refused("unknown_order", f"there is no order {command.order_id[:NAME_LENGTH_MAX]!r}")
    return order


def _ended(order: Order, status: str) -> Order:
    """What is asked of an order that has ended is only how."""
    return msgspec.structs.replace(order, status=status, lines=())


def _check_name(field: str, name: str) -> None:
    """A name is 1 to `NAME_LENGTH_MAX` printable characters, with no space at either end."""
    if not (0 < len(name) <= NAME_LENGTH_MAX and name.isprintable() and name[0] != " " != name[-1]):
        shown = name[:NAME_LENGTH_MAX]
        raise Refused(f"bad_{field}", f"{field} must be 1 to {NAME_LENGTH_MAX} printable characters, not {shown!r}")
