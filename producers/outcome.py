"""What became of a command, and what can go wrong on the way to knowing it."""

from __future__ import annotations

import msgspec

from eventlog.errors import ServiceAway


class Accepted(msgspec.Struct, frozen=True, tag_field="outcome", tag="accepted"):
    """The command was decided into events, or changed nothing; a fact of a topic of its own was delivered."""

    stream: str
    version: int
    """Of the stream after the command; 0 for facts that nobody decides."""
    position: str
    """Opaque: a read model that has applied it shows what the command did (`read --at-least`)."""


class Refused(msgspec.Struct, frozen=True, tag_field="outcome", tag="refused"):
    """The command was refused, which is a fact too."""

    code: str
    """For programs: snake_case, stable."""
    reason: str
    """For people."""


class DeadLettered(msgspec.Struct, frozen=True, tag_field="outcome", tag="dead"):
    """The command could not be read or decided; it is among the dead letters of its topic."""

    code: str
    reason: str


Outcome = Accepted | Refused | DeadLettered


class DeliveryFailed(ServiceAway):
    """The broker did not confirm records within the time-out; they may or may not be in the log.

    Publishing them again with the same ids is safe: a command that the log has already is not decided twice.
    """


class NoOutcome(ServiceAway):
    """A published command was not decided in time; it stays published."""
