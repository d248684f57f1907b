"""What is known of the fulfilment of one order, as its facts tell."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from eventlog.decimals import ZERO
from eventlog.message import DeadlinePassed
from schemas.fulfilment import (
    ChargeEnded,
    ChargeStarted,
    ClosingStarted,
    CompensationStarted,
    ConfirmationStarted,
    FulfilmentCancelled,
    FulfilmentConfirmed,
    FulfilmentFact,
    FulfilmentStarted,
    LineRefused,
    LineReleased,
    LineReserved,
    LineShipped,
    RefundEnded,
    RefundPostponed,
    RefundStarted,
    ReleaseStarted,
    ShippingStarted,
)

RESERVING, CHARGING, CONFIRMING, SHIPPING, CONFIRMED = "reserving", "charging", "confirming", "shipping", "confirmed"
UNDOING, CLOSING, CANCELLED = "undoing", "closing", "cancelled"

ASKED, REFUNDING, NONE = "asked", "refunding", "none"
"""Of a charge: its outcome, or its refund's, is waited for; there is nothing to give back."""


class Fulfilment(msgspec.Struct, frozen=True):
    """What reactions read."""

    order_id: str
    step: str
    """`reserving`, `charging`, `confirming`, `shipping`, `confirmed`; or `undoing`, `closing`, `cancelled`."""
    customer_id: str = ""
    currency: str = ""
    total: Decimal = ZERO
    lines: dict[str, int] = {}
    """Pieces by product; none any more where the end was reached."""
    open: tuple[str, ...] = ()
    """Products whose answer is waited for: to be reserved, or shipped."""
    reserved: tuple[str, ...] = ()
    """In the order in which they were."""
    releasing: tuple[str, ...] = ()
    charge: str = NONE
    """`none`, `asked`, `charged`, `failed` (it is not known), `refunding`."""
    attempt: int = 0
    """Of the step, where it is one that is tried again."""
    refunds: int = 0
    releases: int = 0
    due: datetime | None = None
    reason: str = ""
    """Why it is undone."""


def evolve(state: Fulfilment | None, fact: FulfilmentFact, time: datetime) -> Fulfilment:
    """A fulfilment after one more of its facts."""
    del time  # facts say themselves until when they wait
    if isinstance(fact, FulfilmentStarted):
        lines = {line.sku: line.quantity for line in fact.lines}
        return Fulfilment(
            fact.order_id, RESERVING, fact.customer_id, fact.currency, fact.total, lines, tuple(lines), due=fact.due
        )
    assert state is not None, "a fulfilment's first fact is FulfilmentStarted"
    return msgspec.structs.replace(state, **_CHANGES[type(fact)](state, fact))


Changes = dict[str, Any]


def _started(step: str) -> Callable[[Fulfilment, Any], Changes]:
    return lambda _, fact: {"step": step, "attempt": fact.attempt, "due": fact.due}


def _line_reserved(state: Fulfilment, fact: LineReserved) -> Changes:
    return {"open": _without(state.open, fact.sku), "reserved": (*state.reserved, fact.sku)}


def _line_answered(state: Fulfilment, fact: LineRefused | LineShipped) -> Changes:
    return {"open": _without(state.open, fact.sku)}


def _charge_started(_: Fulfilment, fact: ChargeStarted) -> Changes:
    return {"step": CHARGING, "charge": ASKED, "due": fact.due}


def _charge_ended(_: Fulfilment, fact: ChargeEnded) -> Changes:
    return {"charge": NONE if fact.outcome == "declined" else fact.outcome, "due": None}


def _shipping_started(state: Fulfilment, fact: ShippingStarted) -> Changes:
    again = state.step == SHIPPING
    return {
        "step": SHIPPING,
        "open": state.open if again else tuple(state.lines),
        "attempt": fact.attempt,
        "due": fact.due,
    }


def _confirmed(_: Fulfilment, __: FulfilmentConfirmed) -> Changes:
    return {"step": CONFIRMED, "lines": {}, "open": (), "reserved": (), "due": None}


def _compensation_started(_: Fulfilment, fact: CompensationStarted) -> Changes:
    return {"step": UNDOING, "due": None, "reason": fact.reason}


def _refund_started(_: Fulfilment, fact: RefundStarted) -> Changes:
    return {"charge": REFUNDING, "refunds": fact.attempt, "due": fact.due}


def _refund_ended(state: Fulfilment, _: RefundEnded) -> Changes:
    waits = state.releasing or state.step == CLOSING
    return {"charge": NONE, "due": state.due if waits else None}


def _release_started(state: Fulfilment, fact: ReleaseStarted) -> Changes:
    more = tuple(sku for sku in fact.skus if sku not in state.releasing)
    return {"releasing": (*state.releasing, *more), "releases": fact.attempt, "due": fact.due}


def _line_released(state: Fulfilment, fact: LineReleased) -> Changes:
    left = _without(state.releasing, fact.sku)
    waits = left or state.charge == REFUNDING or state.step == CLOSING
    return {
        "releasing": left,
        "reserved": _without(state.reserved, fact.sku),
        "open": _without(state.open, fact.sku),
        "due": state.due if waits else None,
    }


def _cancelled(state: Fulfilment, _: FulfilmentCancelled) -> Changes:
    waits = state.releasing or state.charge == REFUNDING
    return {"step": CANCELLED, "lines": {}, "open": (), "reserved": (), "due": state.due if waits else None}


def _without(skus: tuple[str, ...], sku: str) -> tuple[str, ...]:
    return tuple(other for other in skus if other != sku)


_CHANGES: dict[type[Any], Callable[[Fulfilment, Any], Changes]] = {
    LineReserved: _line_reserved,
    LineRefused: _line_answered,
    ChargeStarted: _charge_started,
    ChargeEnded: _charge_ended,
    ConfirmationStarted: _started(CONFIRMING),
    ShippingStarted: _shipping_started,
    LineShipped: _line_answered,
    FulfilmentConfirmed: _confirmed,
    CompensationStarted: _compensation_started,
    RefundStarted: _refund_started,
    RefundPostponed: lambda _, __: {},
    RefundEnded: _refund_ended,
    ReleaseStarted: _release_started,
    LineReleased: _line_released,
    ClosingStarted: _started(CLOSING),
    FulfilmentCancelled: _cancelled,
    DeadlinePassed: lambda _, __: {"due": None},
}
