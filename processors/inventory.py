"""Nothing is reserved that is not there, nothing stays reserved that was released, and no piece is lost or made."""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

import msgspec

from eventlog.decimals import parse
from eventlog.errors import Refused
from eventlog.roles import Decider
from schemas.inventory import (
    INVENTORY,
    InventoryCommand,
    InventoryEvent,
    ReceiveStock,
    ReleaseStock,
    ReserveStock,
    ShipStock,
    StockReceived,
    StockReleased,
    StockReserved,
    StockShipped,
)

NAME_LENGTH_MAX = 128
QUANTITY_MAX = 1_000_000_000
"""Of one command."""
PIECES_MAX = 10**15
"""Ever received of one product: room for the sum of all that is counted."""
RESERVATIONS_MAX = 10_000
"""Open ones of one product, so that its state stays far below the size limit of a record."""
ENDED_MAX = 256
"""Orders, of one product, whose reservation has ended: remembered so that a late command does not begin it anew."""

RELEASED, SHIPPED = "released", "shipped"


class Stock(msgspec.Struct, frozen=True):
    """What decisions about a product read."""

    on_hand: int = 0
    shipped: int = 0
    reserved: dict[str, int] = {}
    """Pieces by order."""
    ended: dict[str, str] = {}
    """How reservations ended, by order, the oldest first; released ones that were never made among them."""


def decide(command: InventoryCommand, state: Stock, time: datetime) -> tuple[InventoryEvent, ...]:
    """What a command leads to: one event, or none where it was done before.

    Refusals: `bad_sku`, `bad_order_id`, `not_a_number`, `too_many_digits`, `not_positive`, `not_whole`, `too_large`;
    `insufficient_stock`, `already_reserved`, `already_released`, `already_shipped`, `not_reserved`,
    `too_many_reservations`.
    """
    del time  # decisions here do not depend on it
    _check_name("sku", command.sku)
    match command:
        case ReceiveStock():
            return (_receive(command, state),)
        case ReserveStock():
            _check_name("order_id", command.order_id)
            return _reserve(command, state)
        case ReleaseStock():
            _check_name("order_id", command.order_id)
            return _release(command, state)
        case ShipStock():
            _check_name("order_id", command.order_id)
            return _ship(command, state)
        case _:
            assert_never(command)


def evolve(state: Stock, event: InventoryEvent, time: datetime) -> Stock:
    """A product's stock after one more of its events."""
    del time
    match event:
        case StockReceived():
            return msgspec.structs.replace(state, on_hand=event.on_hand)
        case StockReserved():
            return msgspec.structs.replace(state, reserved=state.reserved | {event.order_id: event.quantity})
        case StockReleased():
            return _ended(state, event.order_id, RELEASED)
        case StockShipped():
            state = msgspec.structs.replace(state, on_hand=event.on_hand, shipped=event.shipped)
            return _ended(state, event.order_id, SHIPPED)
        case _:
            assert_never(event)


DECIDER = Decider(domain=INVENTORY, decide=decide, evolve=evolve, state=Stock, initial=Stock())


def _receive(command: ReceiveStock, stock: Stock) -> StockReceived:
    quantity = _pieces(command.quantity)
    on_hand = stock.on_hand + quantity
    if on_hand + stock.shipped > PIECES_MAX:
        raise Refused("too_large", f"over {PIECES_MAX} pieces would have been received")
    return StockReceived(
        sku=command.sku, quantity=quantity, on_hand=on_hand, reserved=_reserved(stock), shipped=stock.shipped
    )


def _reserve(command: ReserveStock, stock: Stock) -> tuple[StockReserved, ...]:
    order, quantity, kept = command.order_id, _pieces(command.quantity), _reserved(stock)
    if order in stock.ended:
        raise Refused(f"already_{stock.ended[order]}", f"the reservation of {order!r} has ended")
    if order in stock.reserved:
        if stock.reserved[order] == quantity:
            return ()
        raise Refused("already_reserved", f"{stock.reserved[order]} are reserved for {order!r}, not {quantity}")
    if quantity > stock.on_hand - kept:
        raise Refused("insufficient_stock", f"{quantity} of {command.sku} to reserve, {stock.on_hand - kept} there")
    if len(stock.reserved) >= RESERVATIONS_MAX:
        raise Refused("too_many_reservations", f"a product has at most {RESERVATIONS_MAX} open reservations")
    reserved = kept + quantity
    return (
        StockReserved(
            sku=command.sku, order_id=order, quantity=quantity,
            on_hand=stock.on_hand, reserved=reserved, shipped=stock.shipped,
        ),
    )  # fmt: skip


def _release(command: ReleaseStock, stock: Stock) -> tuple[StockReleased, ...]:
    order = command.order_id
    if stock.ended.get(order) == RELEASED:
        return ()
    if order in stock.ended:
        raise Refused("already_shipped", f"what was reserved for {order!r} has left")
    quantity = stock.reserved.get(order, 0)
    return (
        StockReleased(
            sku=command.sku, order_id=order, quantity=quantity,
            on_hand=stock.on_hand, reserved=_reserved(stock) - quantity, shipped=stock.shipped,
        ),
    )  # fmt: skip


def _ship(command: ShipStock, stock: Stock) -> tuple[StockShipped, ...]:
    order = command.order_id
    if stock.ended.get(order) == SHIPPED:
        return ()
    if order not in stock.reserved:
        raise Refused("not_reserved", f"nothing of {command.sku} is reserved for {order!r}")
    quantity = stock.reserved[order]
    return (
        StockShipped(
            sku=command.sku, order_id=order, quantity=quantity, on_hand=stock.on_hand - quantity,
            reserved=_reserved(stock) - quantity, shipped=stock.shipped + quantity,
        ),
    )  # fmt: skip


def _reserved(stock: Stock) -> int:
    return sum(stock.reserved.values())


def _ended(stock: Stock, order: str, how: str) -> Stock:
    reserved = {other: quantity for other, quantity in stock.reserved.items() if other != order}
    ended = stock.ended | {order: how}
    for oldest in list(ended)[: max(0, len(ended) - ENDED_MAX)]:
        del ended[oldest]
    return msgspec.structs.replace(stock, reserved=reserved, ended=ended)


def _pieces(written: str) -> int:
    number = parse(written, "quantity")
    if number <= 0:
        raise Refused("not_positive", "quantity must be above 0")
    if number != int(number):
        raise Refused("not_whole", f"quantity must be a whole number, not {written[:60]!r}")
    if number > QUANTITY_MAX:
        raise Refused("too_large", f"quantity must be at most {QUANTITY_MAX}")
    return int(number)


def _check_name(field: str, name: str) -> None:
    """A name is 1 to `NAME_LENGTH_MAX` printable characters, with no space at either end."""
    if not (0 < len(name) <= NAME_LENGTH_MAX and name.isprintable() and name[0] != " " != name[-1]):
        shown = name[:NAME_LENGTH_MAX]
        raise Refused(f"bad_{field}", f"{field} must be 1 to {NAME_LENGTH_MAX} printable characters, not {shown!r}")
