"""A small vocabulary with every kind of field, and its next version."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, ClassVar

import msgspec

from eventlog.message import Command, Digits, Event, Money, Number, Valuation
from eventlog.topics import Topic


class Line(msgspec.Struct, frozen=True):
    """A part of a message."""

    name: str
    price: Money


class Everything(Event, frozen=True, kw_only=True):
    """Has a field of every kind."""

    stream_field: ClassVar[str] = "key"
    namespace: ClassVar[str] = "onefact.test"

    key: str
    count: int
    flag: bool
    ratio: float
    raw: bytes
    money: Money
    large: Valuation
    time: datetime
    maybe: Money | None
    note: str | None = None
    lines: tuple[Line, ...] = ()
    tags: list[str] = msgspec.field(default_factory=list)
    rates: dict[str, Money] = msgspec.field(default_factory=dict)


class Placed(Event, frozen=True, kw_only=True):
    """As it was first."""

    stream_field: ClassVar[str] = "key"
    namespace: ClassVar[str] = "onefact.test"

    key: str
    amount: Money


class Order(Command, frozen=True, kw_only=True):
    """Only commands may hold a number as text."""

    stream_field: ClassVar[str] = "key"
    namespace: ClassVar[str] = "onefact.test"

    key: str
    amount: Number


def placed_later() -> type[Event]:
    """`Placed` as it is now: a field more, one renamed."""

    class Later(Event, frozen=True, kw_only=True):
        """As it is now."""

        stream_field: ClassVar[str] = "key"
        namespace: ClassVar[str] = "onefact.test"
        renamed: ClassVar[Mapping[str, tuple[str, ...]]] = {"total": ("amount",)}

        key: str
        total: Annotated[Decimal, Digits(38, 12)]
        note: str = "none"
        by: str | None = None

    return _named(Later)


def placed_in_cents() -> type[Event]:
    """`Placed` by somebody whose decimals have another scale."""

    class Cents(Event, frozen=True, kw_only=True):
        """As somebody else has it."""

        stream_field: ClassVar[str] = "key"
        namespace: ClassVar[str] = "onefact.test"

        key: str
        amount: Annotated[Decimal, Digits(38, 2)]

    return _named(Cents)


def _named(cls: type[Event]) -> type[Event]:
    cls.__name__ = "Placed"
    return cls


TOPIC = Topic("test.events", (Everything, Placed))
