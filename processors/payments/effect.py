"""What the payment provider is asked for, and what its answers mean."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from eventlog.decimals import text
from eventlog.envelope import Meta
from eventlog.message import Command
from eventlog.roles import Call, Effect, Reply
from schemas.payments import PAYMENTS, ChargeRequested, RefundRequested, SettleCharge, SettleRefund

SAID_LENGTH_MAX = 200
"""Of what the provider says, in characters."""
PAYMENT_REQUIRED = 402
"""HTTP's status for a charge that is declined."""


def ask(event: ChargeRequested | RefundRequested, meta: Meta) -> Call:
    """A charge under the id of its payment; a refund of it under one key, however many times it is asked for."""
    del meta
    body = {"order_id": event.order_id, "amount": text(event.amount), "currency": event.currency}
    match event:
        case ChargeRequested():
            return Call("/charges", body, event.payment_id)
        case RefundRequested():
            return Call("/refunds", body | {"charge": event.payment_id}, f"{event.payment_id}/refund")


def answer(event: ChargeRequested | RefundRequested, reply: Reply) -> Iterable[Command]:
    """What the provider said; an answer that does not fit the question leaves it open what was done."""
    status, reference = _said(reply, "status"), _said(reply, "reference")
    reason = _said(reply, "reason")
    match event:
        case ChargeRequested():
            outcome = {"approved": "charged", "declined": "declined"}.get(status)
            if outcome is None or (outcome == "declined") != (reply.status == PAYMENT_REQUIRED):
                outcome, reason = "failed", f"the provider answers {reply.status} {status} {reason}".strip()
            return (
                SettleCharge(
                    order_id=event.order_id,
                    outcome=outcome,
                    provider_reference=reference if outcome == "charged" else "",
                    reason=reason,
                ),
            )
        case RefundRequested():
            outcome = {"refunded": "refunded", "nothing": "nothing"}.get(status)
            if outcome is None or reply.status >= 300:
                outcome, reason = "failed", f"the provider answers {reply.status} {status} {reason}".strip()
            return (
                SettleRefund(
                    order_id=event.order_id,
                    outcome=outcome,
                    provider_reference=reference if outcome == "refunded" else "",
                    reason=reason,
                ),
            )


def _said(reply: Reply, field: str) -> str:
    """A field of a reply as text that may be shown: what is no text, or cannot be printed, is left out."""
    found: Any = reply.body.get(field)
    return "".join(filter(str.isprintable, found))[:SAID_LENGTH_MAX] if isinstance(found, str) else ""


EFFECT = Effect(domain=PAYMENTS, outside="payments", ask=ask, answer=answer)
