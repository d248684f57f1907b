"""Where the fulfilment of each order stands, what it waits for since when, and why."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from eventlog.envelope import Meta
from eventlog.message import DeadlinePassed
from eventlog.models import Table, Value
from eventlog.operations import Operation, Put
from eventlog.roles import Projection
from schemas.fulfilment import (
    FULFILMENT,
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

MIGRATIONS = Path(__file__).parent / "migrations"
Values = dict[str, Value]


def on_sagas(event: FulfilmentFact, meta: Meta) -> Iterable[Operation]:
    """The row is what the last fact says; `since` is when the present wait began."""
    return (Put((meta.stream,), _values(event, meta.time) | {"version": meta.version}),)


def _values(event: FulfilmentFact, time: datetime) -> Values:
    match event:
        case CompensationStarted():
            return {"reason": event.reason} | _stands("undoing", "", time)
        case FulfilmentConfirmed():
            return {"ended": "confirmed"} | _stands("confirmed", "", time)
        case FulfilmentCancelled():
            return {"ended": "cancelled", "reason": event.reason} | _stands("cancelled", "", time)
        case LineRefused() | ChargeEnded() | RefundPostponed():
            return {"problem": event.reason} if event.reason else {}
        case LineShipped():
            return {"problem": event.problem} if event.problem else {}
        case LineReserved() | LineReleased() | RefundEnded() | DeadlinePassed():
            return {}
        case _:
            return _begun(event) | _stands(*WAITS[type(event)], time) | _until(event)


def _begun(event: Waiting) -> Values:
    """What a row has from the first."""
    if not isinstance(event, FulfilmentStarted):
        return {}
    order: Values = {"customer_id": event.customer_id, "total": event.total, "currency": event.currency}
    return order | {"reason": "", "problem": "", "ended": ""}


def _stands(step: str, waits_for: str, since: datetime) -> Values:
    return {"step": step, "waits_for": waits_for, "since": since, "due": None, "attempt": 1}


def _until(event: Waiting) -> Values:
    return {"due": event.due, "attempt": getattr(event, "attempt", 1)}


Waiting = (
    FulfilmentStarted
    | ChargeStarted
    | ConfirmationStarted
    | ShippingStarted
    | RefundStarted
    | ReleaseStarted
    | ClosingStarted
)
WAITS: dict[type[Waiting], tuple[str, str]] = {
    FulfilmentStarted: ("reserving", "reservations"),
    ChargeStarted: ("charging", "the charge"),
    ConfirmationStarted: ("confirming", "the confirmation"),
    ShippingStarted: ("shipping", "shipments"),
    RefundStarted: ("refunding", "the refund"),
    ReleaseStarted: ("releasing", "releases"),
    ClosingStarted: ("closing", "the order's end"),
}
"""The step that a fact begins, and what is waited for in it."""


SAGAS = Projection(
    domain=FULFILMENT,
    model=Table(
        "sagas",
        ("order_id",),
        {
            "order_id": "text",
            "customer_id": "text",
            "total": "decimal",
            "currency": "text",
            "step": "text",
            "waits_for": "text",
            "since": "time",
            "due": "time",
            "attempt": "integer",
            "reason": "text",
            "problem": "text",
            "ended": "text",
            "version": "integer",
        },
        migrations=MIGRATIONS / "sagas",
    ),
    sources=(FULFILMENT.topic("events"),),
    on=on_sagas,
)
