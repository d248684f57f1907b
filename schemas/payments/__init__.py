"""Payments' vocabulary: an order is charged once at the most, and what was charged can be given back.

A payment is with a provider outside. What is to be done there is a fact first (`ChargeRequested`, `RefundRequested`);
whoever calls the provider tells by `SettleCharge` or `SettleRefund` what came of it, and that is decided again.
"""

from __future__ import annotations

from typing import ClassVar

from eventlog.message import Command, Event, Money, Number
from eventlog.topics import Domain

NAMESPACE = "onefact.payments"


class PaymentCommand(Command, frozen=True, kw_only=True):
    """Base of the commands: each is for the payment of one order."""

    stream_field: ClassVar[str] = "order_id"
    namespace: ClassVar[str] = NAMESPACE

    order_id: str


class PaymentEvent(Event, frozen=True, kw_only=True):
    """Base of the events: each is of the payment of one order."""

    stream_field: ClassVar[str] = "order_id"
    namespace: ClassVar[str] = NAMESPACE

    order_id: str


class ChargePayment(PaymentCommand, frozen=True, kw_only=True):
    """Charge a customer for an order; an order is charged once."""

    payment_id: str
    """Key of idempotence with the provider; fulfilment gives its command's id."""
    customer_id: str
    amount: Number
    currency: str


class RefundPayment(PaymentCommand, frozen=True, kw_only=True):
    """See to it that nothing stays charged for an order, whatever its charge has come to or comes to yet."""

    reason: str


class SettleCharge(PaymentCommand, frozen=True, kw_only=True):
    """Tell what a charge came to. Sent by whoever calls the provider."""

    outcome: str
    """`charged`, `declined`, or `failed`: it is not known whether the charge was made."""
    provider_reference: str = ""
    reason: str = ""


class SettleRefund(PaymentCommand, frozen=True, kw_only=True):
    """Tell what a refund came to. Sent by whoever calls the provider."""

    outcome: str
    """`refunded`, `nothing` (the provider knows no charge, and will make none), or `failed`: not known, ask again."""
    provider_reference: str = ""
    reason: str = ""


class ChargeRequested(PaymentEvent, frozen=True, kw_only=True):
    """The provider is to be asked for a charge, under the key `payment_id`; its outcome is pending."""

    payment_id: str
    customer_id: str
    amount: Money
    currency: str


class RefundPending(PaymentEvent, frozen=True, kw_only=True):
    """The charge is no longer wanted, but what it comes to is not known yet; whatever that is, it will be undone."""

    reason: str


class RefundRequested(PaymentEvent, frozen=True, kw_only=True):
    """The provider is to be asked to give back what was charged under the key `payment_id`, if anything was.

    It may be asked for a second time after `RefundFailed`: with one key of idempotence for all refunds of a payment,
    and the provider's word that this charge is refunded already as an answer like any other, there is one effect.
    """

    payment_id: str
    customer_id: str
    amount: Money
    currency: str
    provider_reference: str
    """Of the charge; empty where it is not known whether it was made."""
    reason: str


class PaymentCharged(PaymentEvent, frozen=True, kw_only=True):
    """The customer was charged."""

    payment_id: str
    customer_id: str
    amount: Money
    currency: str
    provider_reference: str


class PaymentDeclined(PaymentEvent, frozen=True, kw_only=True):
    """The provider declined: the customer is not charged."""

    payment_id: str
    reason: str


class PaymentFailed(PaymentEvent, frozen=True, kw_only=True):
    """It is not known whether the customer was charged: no answer in time, or none that could be read."""

    payment_id: str
    reason: str


class PaymentRefunded(PaymentEvent, frozen=True, kw_only=True):
    """What was charged was given back."""

    payment_id: str
    customer_id: str
    amount: Money
    currency: str
    provider_reference: str
    """Of the refund."""


class PaymentVoided(PaymentEvent, frozen=True, kw_only=True):
    """Nothing is charged for the order, and nothing will be."""

    reason: str


class RefundFailed(PaymentEvent, frozen=True, kw_only=True):
    """It is not known whether the refund was made; whoever wanted it asks again."""

    payment_id: str
    reason: str


PaymentsCommand = ChargePayment | RefundPayment | SettleCharge | SettleRefund
PaymentsEvent = (
    ChargeRequested
    | RefundPending
    | RefundRequested
    | PaymentCharged
    | PaymentDeclined
    | PaymentFailed
    | PaymentRefunded
    | PaymentVoided
    | RefundFailed
)

PAYMENTS = Domain(
    "payments",
    commands=(ChargePayment, RefundPayment, SettleCharge, SettleRefund),
    events=(
        ChargeRequested,
        RefundPending,
        RefundRequested,
        PaymentCharged,
        PaymentDeclined,
        PaymentFailed,
        PaymentRefunded,
        PaymentVoided,
        RefundFailed,
    ),
)
