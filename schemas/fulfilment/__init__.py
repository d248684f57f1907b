"""Fulfilment's vocabulary: what leading an order to its end has seen and done. Every fact is of one order."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import msgspec

from eventlog.message import DeadlinePassed, Event, Money
from eventlog.topics import Domain

NAMESPACE = "onefact.fulfilment"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A product of the order, and how many pieces of it."""

    sku: str
    quantity: int


class FulfilmentEvent(Event, frozen=True, kw_only=True):
    """Base of the events: each is of the fulfilment of one order."""

    stream_field: ClassVar[str] = "order_id"
    namespace: ClassVar[str] = NAMESPACE

    order_id: str


class FulfilmentStarted(FulfilmentEvent, frozen=True, kw_only=True):
    """Every line was asked to be reserved, until `due`."""

    customer_id: str
    currency: str
    total: Money
    lines: tuple[Wanted, ...]
    due: datetime


class LineReserved(FulfilmentEvent, frozen=True, kw_only=True):
    """A line is reserved."""

    sku: str


class LineRefused(FulfilmentEvent, frozen=True, kw_only=True):
    """A line cannot be reserved, and so the order cannot be met."""

    sku: str
    code: str
    reason: str


class ChargeStarted(FulfilmentEvent, frozen=True, kw_only=True):
    """Every line is reserved; the charge was asked for, until `due`."""

    due: datetime


class ChargeEnded(FulfilmentEvent, frozen=True, kw_only=True):
    """What the charge came to."""

    outcome: str
    """`charged`, `declined`, `failed` (it is not known), or `refused` by payments."""
    reason: str


class ConfirmationStarted(FulfilmentEvent, frozen=True, kw_only=True):
    """The customer was charged; the order was asked to be confirmed, for the `attempt`th time, until `due`."""

    attempt: int
    due: datetime


class ShippingStarted(FulfilmentEvent, frozen=True, kw_only=True):
    """The order is confirmed, which is final; lines were asked to be shipped, for the `attempt`th time, until `due`."""

    attempt: int
    due: datetime


class LineShipped(FulfilmentEvent, frozen=True, kw_only=True):
    """A line has left, or, with a `problem`, could not."""

    sku: str
    problem: str = ""


class FulfilmentConfirmed(FulfilmentEvent, frozen=True, kw_only=True):
    """The end: the order is confirmed, paid and shipped."""


class CompensationStarted(FulfilmentEvent, frozen=True, kw_only=True):
    """The order comes to nothing; what was done for it is undone from now on, the last first."""

    reason: str


class RefundStarted(FulfilmentEvent, frozen=True, kw_only=True):
    """Whatever was charged was asked back, for the `attempt`th time, until `due`."""

    attempt: int
    due: datetime


class RefundPostponed(FulfilmentEvent, frozen=True, kw_only=True):
    """It is not known whether it was given back; it is asked for again when the wait is over."""

    reason: str


class RefundEnded(FulfilmentEvent, frozen=True, kw_only=True):
    """Nothing is charged any more."""

    outcome: str
    """`refunded`, or `nothing` was charged."""


class ReleaseStarted(FulfilmentEvent, frozen=True, kw_only=True):
    """Lines were asked to be released, for the `attempt`th time, until `due`."""

    skus: tuple[str, ...]
    """In the order in which they are undone, the last one reserved first."""
    attempt: int
    due: datetime


class LineReleased(FulfilmentEvent, frozen=True, kw_only=True):
    """Nothing of a line is reserved any more."""

    sku: str


class ClosingStarted(FulfilmentEvent, frozen=True, kw_only=True):
    """All is undone; the order was asked to be closed, for the `attempt`th time, until `due`."""

    attempt: int
    due: datetime


class FulfilmentCancelled(FulfilmentEvent, frozen=True, kw_only=True):
    """The end: the order is cancelled. Stated once more when what had answered late is undone, too."""

    reason: str


FulfilmentFact = (
    FulfilmentStarted
    | LineReserved
    | LineRefused
    | ChargeStarted
    | ChargeEnded
    | ConfirmationStarted
    | ShippingStarted
    | LineShipped
    | FulfilmentConfirmed
    | CompensationStarted
    | RefundStarted
    | RefundPostponed
    | RefundEnded
    | ReleaseStarted
    | LineReleased
    | ClosingStarted
    | FulfilmentCancelled
    | DeadlinePassed
)

FULFILMENT = Domain(
    "fulfilment",
    events=(
        FulfilmentStarted,
        LineReserved,
        LineRefused,
        ChargeStarted,
        ChargeEnded,
        ConfirmationStarted,
        ShippingStarted,
        LineShipped,
        FulfilmentConfirmed,
        CompensationStarted,
        RefundStarted,
        RefundPostponed,
        RefundEnded,
        ReleaseStarted,
        LineReleased,
        ClosingStarted,
        FulfilmentCancelled,
        DeadlinePassed,
    ),
)
