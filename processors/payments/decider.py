"""An order is charged once at the most, and whatever its charge comes to after it is no longer wanted is undone."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import assert_never

import msgspec

from eventlog.decimals import ZERO, parse
from eventlog.errors import Refused
from eventlog.roles import Decider
from schemas.payments import (
    PAYMENTS,
    ChargePayment,
    ChargeRequested,
    PaymentCharged,
    PaymentDeclined,
    PaymentFailed,
    PaymentRefunded,
    PaymentsCommand,
    PaymentsEvent,
    PaymentVoided,
    RefundFailed,
    RefundPayment,
    RefundPending,
    RefundRequested,
    SettleCharge,
    SettleRefund,
)

NAME_LENGTH_MAX = 400
"""Of an id: a payment's is made of its order's."""
CURRENCY_LENGTH = 3

PENDING, UNWANTED, CHARGED, DECLINED, FAILED = "pending", "unwanted", "charged", "declined", "failed"
REFUNDING, REFUND_FAILED, REFUNDED, VOIDED = "refunding", "refund_failed", "refunded", "voided"
REFUNDABLE = (CHARGED, FAILED, REFUND_FAILED)
STATUS_AFTER: dict[type[PaymentsEvent], str] = {
    ChargeRequested: PENDING,
    RefundPending: UNWANTED,
    PaymentCharged: CHARGED,
    PaymentDeclined: DECLINED,
    PaymentFailed: FAILED,
    RefundRequested: REFUNDING,
    RefundFailed: REFUND_FAILED,
    PaymentRefunded: REFUNDED,
    PaymentVoided: VOIDED,
}
NEWS: dict[str, tuple[str, ...]] = {
    CHARGED: (PENDING, UNWANTED, FAILED, DECLINED, VOIDED),
    DECLINED: (PENDING, UNWANTED, FAILED),
    FAILED: (PENDING, UNWANTED),
}
"""In which statuses a charge's outcome is news. That the customer was charged after all always is."""


class Payment(msgspec.Struct, frozen=True, gc=False):
    """What decisions about an order's payment read.

    `status`: a charge is `pending`, or `unwanted` while it is in flight; `charged`, `declined` or `failed` (not known);
    `refunding`, and then `refunded`, `voided` or `refund_failed` (not known).
    """

    status: str
    payment_id: str = ""
    customer_id: str = ""
    amount: Decimal = ZERO
    currency: str = ""
    reference: str = ""
    """Of the charge, at the provider."""


def decide(command: PaymentsCommand, state: Payment | None, time: datetime) -> tuple[PaymentsEvent, ...]:
    """What a command leads to; no event where it changes nothing any more.

    Refusals: `bad_order_id`, `bad_payment_id`, `bad_customer_id`, `bad_currency`, `not_a_number`, `too_many_digits`,
    `not_positive`, `bad_outcome`; `already_requested`, `refunded_before`, `unknown_payment`.
    """
    del time  # decisions here do not depend on it
    match command:
        case ChargePayment():
            return _charge(command, state)
        case RefundPayment():
            return _refund(command, state)
        case SettleCharge():
            return _settle_charge(command, _known(command, state))
        case SettleRefund():
            return _settle_refund(command, _known(command, state))
        case _:
            assert_never(command)


def evolve(state: Payment | None, event: PaymentsEvent, time: datetime) -> Payment:
    """A payment after one more of its events."""
    del time
    if isinstance(event, ChargeRequested):
        return Payment(PENDING, event.payment_id, event.customer_id, event.amount, event.currency)
    payment = msgspec.structs.replace(state or Payment(VOIDED), status=STATUS_AFTER[type(event)])
    if isinstance(event, PaymentCharged):
        return msgspec.structs.replace(payment, reference=event.provider_reference)
    return payment


DECIDER = Decider(domain=PAYMENTS, decide=decide, evolve=evolve, state=Payment)


def _charge(command: ChargePayment, payment: Payment | None) -> tuple[PaymentsEvent, ...]:
    for field in ("order_id", "payment_id", "customer_id"):
        _check_name(field, getattr(command, field))
    currency = command.currency
    if not (len(currency) == CURRENCY_LENGTH and currency.isascii() and currency.isalpha() and currency.isupper()):
        raise Refused("bad_currency", f"currency must be three capital letters such as USD, not {currency[:20]!r}")
    amount = parse(command.amount, "amount")
    if amount <= ZERO:
        raise Refused("not_positive", "amount must be above 0")
    if payment is not None:
        if not payment.payment_id:
            raise Refused("refunded_before", "a refund was asked for before the charge, so there will be none")
        raise Refused("already_requested", f"a charge was asked for before, as {payment.payment_id!r}")
    return (
        ChargeRequested(
            order_id=command.order_id, payment_id=command.payment_id, customer_id=command.customer_id,
            amount=amount, currency=currency,
        ),
    )  # fmt: skip


def _refund(command: RefundPayment, payment: Payment | None) -> tuple[PaymentsEvent, ...]:
    _check_name("order_id", command.order_id)
    if payment is None or payment.status == DECLINED:
        return (PaymentVoided(order_id=command.order_id, reason=command.reason),)
    if payment.status == PENDING:
        return (RefundPending(order_id=command.order_id, reason=command.reason),)
    if payment.status in REFUNDABLE:
        return (_refund_request(command.order_id, payment, payment.reference, command.reason),)
    return ()


def _settle_charge(command: SettleCharge, payment: Payment) -> tuple[PaymentsEvent, ...]:
    outcome, order, unwanted = command.outcome, command.order_id, payment.status == UNWANTED
    if outcome not in NEWS:
        raise Refused("bad_outcome", f"outcome must be charged, declined or failed, not {outcome[:60]!r}")
    if payment.status not in NEWS[outcome]:
        return ()
    events: list[PaymentsEvent] = []
    if outcome == DECLINED:
        events.append(PaymentDeclined(order_id=order, payment_id=payment.payment_id, reason=command.reason))
        if unwanted:
            events.append(PaymentVoided(order_id=order, reason="the charge was declined"))
        return tuple(events)
    if outcome == CHARGED:
        events.append(
            PaymentCharged(
                order_id=order, payment_id=payment.payment_id, customer_id=payment.customer_id,
                amount=payment.amount, currency=payment.currency, provider_reference=command.provider_reference,
            )
        )  # fmt: skip
    else:
        events.append(PaymentFailed(order_id=order, payment_id=payment.payment_id, reason=command.reason))
    if unwanted:
        reference = command.provider_reference if outcome == CHARGED else ""
        events.append(_refund_request(order, payment, reference, "the charge was no longer wanted"))
    return tuple(events)


def _settle_refund(command: SettleRefund, payment: Payment) -> tuple[PaymentsEvent, ...]:
    outcome, order = command.outcome, command.order_id
    if outcome not in ("refunded", "nothing", "failed"):
        raise Refused("bad_outcome", f"outcome must be refunded, nothing or failed, not {outcome[:60]!r}")
    if payment.status not in (REFUNDING, REFUND_FAILED) or (outcome == "failed" and payment.status == REFUND_FAILED):
        return ()
    if outcome == "nothing":
        return (PaymentVoided(order_id=order, reason=command.reason or "the provider knows no charge"),)
    if outcome == "failed":
        return (RefundFailed(order_id=order, payment_id=payment.payment_id, reason=command.reason),)
    return (
        PaymentRefunded(
            order_id=order, payment_id=payment.payment_id, customer_id=payment.customer_id,
            amount=payment.amount, currency=payment.currency, provider_reference=command.provider_reference,
        ),
    )  # fmt: skip


def _refund_request(order: str, payment: Payment, reference: str, reason: str) -> RefundRequested:
    return RefundRequested(
        order_id=order, payment_id=payment.payment_id, customer_id=payment.customer_id, amount=payment.amount,
        currency=payment.currency, provider_reference=reference, reason=reason,
    )  # fmt: skip


def _known(command: PaymentsCommand, payment: Payment | None) -> Payment:
    if payment is None or not payment.payment_id:
        raise Refused("unknown_payment", f"nothing was charged for {command.order_id[:NAME_LENGTH_MAX]!r}")
    return payment


def _check_name(field: str, name: str) -> None:
    """A name is 1 to `NAME_LENGTH_MAX` printable characters, with no space at either end."""
    if not (0 < len(name) <= NAME_LENGTH_MAX and name.isprintable() and name[0] != " " != name[-1]):
        shown = name[:NAME_LENGTH_MAX]
        raise Refused(f"bad_{field}", f"{field} must be 1 to {NAME_LENGTH_MAX} printable characters, not {shown!r}")
