"""What clients may publish to payments, and what the provider of the samples says."""

from __future__ import annotations

from eventlog.message import Command, Event
from eventlog.roles import Source
from schemas.payments import PAYMENTS, ChargeRequested, RefundPending, RefundRequested, SettleCharge, SettleRefund


def answer(fact: Event) -> Command | None:
    """The provider of the samples: how it behaves stands in the customer's name; most are charged."""
    match fact:
        case ChargeRequested(customer_id="slow" | "silent") | RefundRequested(customer_id="silent"):
            return None
        case ChargeRequested(customer_id="declined"):
            return SettleCharge(order_id=fact.order_id, outcome="declined", reason="the card has expired")
        case ChargeRequested(customer_id="lost"):
            return SettleCharge(order_id=fact.order_id, outcome="failed", reason="no answer")
        case ChargeRequested() | RefundPending():
            return SettleCharge(
                order_id=fact.order_id, outcome="charged", provider_reference=f"charge of {fact.order_id}"
            )
        case RefundRequested(customer_id="lost"):
            return SettleRefund(order_id=fact.order_id, outcome="nothing")
        case RefundRequested():
            return SettleRefund(
                order_id=fact.order_id, outcome="refunded", provider_reference=f"refund of {fact.order_id}"
            )
        case _:
            return None


SOURCE = Source(domain=PAYMENTS, answer=answer)
