"""Facts and commands of one order, short to say."""

from __future__ import annotations

from decimal import Decimal

from eventlog.message import CommandRejected
from schemas.inventory import StockReleased, StockReserved, StockShipped
from schemas.orders import (
    AskedLine,
    Line,
    OrderCancelled,
    OrderCancelRequested,
    OrderConfirmed,
    OrderPlaced,
    PlaceOrder,
)
from schemas.payments import PaymentCharged, PaymentRefunded

ORDER, CUSTOMER, CURRENCY = "o1", "ada", "GBP"
LINES = (
    Line(sku="mug", quantity=2, unit_price=Decimal("6.50")),
    Line(sku="tea", quantity=1, unit_price=Decimal("4.75")),
)
TOTAL = Decimal("17.75")
PAYMENT = f"fulfilment/{ORDER}/charge"


def asked(sku: str = "mug", quantity: str = "2", price: str = "6.50") -> AskedLine:
    return AskedLine(sku=sku, quantity=quantity, unit_price=price)


def place(*lines: AskedLine, customer: str = CUSTOMER, currency: str = CURRENCY, order: str = ORDER) -> PlaceOrder:
    lines = lines or (asked(), asked("tea", "1", "4.75"))
    return PlaceOrder(order_id=order, customer_id=customer, currency=currency, lines=lines)


def placed() -> OrderPlaced:
    return OrderPlaced(order_id=ORDER, customer_id=CUSTOMER, currency=CURRENCY, lines=LINES, total=TOTAL)


def cancel_requested(reason: str = "too late") -> OrderCancelRequested:
    return OrderCancelRequested(order_id=ORDER, customer_id=CUSTOMER, reason=reason)


def confirmed() -> OrderConfirmed:
    return OrderConfirmed(order_id=ORDER, customer_id=CUSTOMER, currency=CURRENCY, lines=LINES, total=TOTAL)


def cancelled(reason: str = "too late") -> OrderCancelled:
    return OrderCancelled(
        order_id=ORDER, customer_id=CUSTOMER, currency=CURRENCY, lines=LINES, total=TOTAL, reason=reason
    )


def reserved(sku: str, quantity: int = 1) -> StockReserved:
    return StockReserved(sku=sku, order_id=ORDER, quantity=quantity, on_hand=9, reserved=quantity, shipped=0)


def released(sku: str, quantity: int = 1) -> StockReleased:
    return StockReleased(sku=sku, order_id=ORDER, quantity=quantity, on_hand=9, reserved=0, shipped=0)


def shipped(sku: str, quantity: int = 1) -> StockShipped:
    return StockShipped(sku=sku, order_id=ORDER, quantity=quantity, on_hand=8, reserved=0, shipped=quantity)


def charged() -> PaymentCharged:
    return PaymentCharged(
        order_id=ORDER, payment_id=PAYMENT, customer_id=CUSTOMER, amount=TOTAL, currency=CURRENCY,
        provider_reference="c-1",
    )  # fmt: skip


def refunded() -> PaymentRefunded:
    return PaymentRefunded(
        order_id=ORDER, payment_id=PAYMENT, customer_id=CUSTOMER, amount=TOTAL, currency=CURRENCY,
        provider_reference="r-1",
    )  # fmt: skip


def refused(command_type: str, subject: str = ORDER, code: str = "insufficient_stock") -> CommandRejected:
    return CommandRejected(subject=subject, command_type=command_type, code=code, reason="so it is")
