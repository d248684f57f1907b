"""Commands and events as plain frozen records; their class is their schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, ClassVar

import msgspec

from eventlog import decimals


@dataclass(frozen=True, slots=True)
class Digits:
    """Precision and scale of an Avro decimal; the annotation of a `Decimal` field."""

    precision: int
    scale: int


Money = Annotated[Decimal, Digits(decimals.DIGITS_MAX, decimals.PLACES)]
"""An amount, a quantity or a price: 38 digits, 12 of them after the point."""
Valuation = Annotated[Decimal, Digits(76, decimals.PLACES)]
"""A sum of quantities times prices, each of which may be as large as `Money` allows."""
Number = Annotated[str, "number"]
"""A number as the client wrote it. Text on the wire, so that a wrong one is refused as a fact."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Base of commands and events. `stream_field` names the field that is the stream's id."""

    stream_field: ClassVar[str]
    namespace: ClassVar[str]
    renamed: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Earlier names of fields, by the name of now: records that were written with them can still be read."""
    formerly: ClassVar[tuple[str, ...]] = ()
    """Earlier names of the class, in the same namespace: their records are read as its own."""

    @property
    def stream(self) -> str:
        """Id of the stream that this message belongs to, and the key of its record."""
        return str(getattr(self, self.stream_field))


class Command(Message, frozen=True, kw_only=True):
    """What somebody wants to happen; named in the imperative."""


class Event(Message, frozen=True, kw_only=True):
    """What has happened; named in the past tense."""


class CommandRejected(Event, frozen=True, kw_only=True):
    """A command was refused; the refusal is a fact too."""

    stream_field: ClassVar[str] = "subject"
    namespace: ClassVar[str] = "onefact.kernel"

    subject: str
    """Stream that the command was for."""
    command_type: str
    code: str
    """For programs: snake_case, stable."""
    reason: str
    """For people."""


class CommandAnswered(Event, frozen=True, kw_only=True):
    """A repeated command, or one that changed nothing, is answered with its first outcome."""

    stream_field: ClassVar[str] = "subject"
    namespace: ClassVar[str] = "onefact.kernel"

    subject: str
    version: int
    """Version of the stream after the command was first decided."""
    offset: int
    """Offset after the last event that the command led to, -1 where it led to none."""
    code: str | None = None
    """Set where the first outcome was a refusal."""
    reason: str | None = None


class DeadlinePassed(Event, frozen=True, kw_only=True):
    """An instance of a saga has waited as long as it meant to."""

    stream_field: ClassVar[str] = "subject"
    namespace: ClassVar[str] = "onefact.kernel"

    subject: str
    """Key of the instance."""
    due: datetime


class Tick(Event, frozen=True, kw_only=True):
    """It is at least this late: what a saga's deadlines are held against. Put into its inbox by whoever owns it."""

    stream_field: ClassVar[str] = "saga"
    namespace: ClassVar[str] = "onefact.kernel"

    saga: str
    at: datetime
