"""What a client holds while a record is on its way: a receipt, a ticket for its outcome, a tally of many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from eventlog.position import Position
from producers.outcome import Accepted, DeliveryFailed, Outcome

if TYPE_CHECKING:
    from producers._answers import DomainAnswers, Kind
    from producers._sending import Sender


class Receipt(msgspec.Struct, gc=False, eq=False):
    """A record that was handed over; `delivered` waits until the log has it."""

    id: str
    stream: str
    topic: str
    sender: Sender
    error: Any = None
    """The broker's, where delivery failed."""
    partition: int = -1
    offset: int = -1
    """Of the record, once the log has it."""

    def delivered(self) -> Position:
        """Wait for the broker's confirmation; the position just after the record.

        Raises `DeliveryFailed`.
        """
        self.sender.poll_until(lambda: self.offset >= 0 or self.error is not None)
        if self.error is not None:
            raise self.failure()
        return Position.of(self.topic, self.partition, self.offset + 1)

    def report(self, error: Any, message: Any) -> None:
        """Told by the producer, once."""
        if error is None:
            self.partition = message.partition()
            self.offset = message.offset()
        else:
            self.error = error
            self.sender.failed(self)

    def failure(self) -> DeliveryFailed:
        """What is raised when the record was not confirmed."""
        return DeliveryFailed("kafka", f"{self.id} of stream {self.stream} was not delivered: {self.error.str()}")

    def as_outcome(self) -> Accepted:
        """Of a fact that nobody decides: it is in the log."""
        return Accepted(self.stream, 0, str(self.delivered()))


class CountedReceipt(Receipt, gc=False, eq=False):
    """A receipt of a fact that nobody decides, counted in a tally once it is delivered."""

    tally: Tally | None = None

    def report(self, error: Any, message: Any) -> None:
        Receipt.report(self, error, message)
        if error is None and self.tally is not None:
            self.tally.accepted += 1


class Ticket:
    """One outcome."""

    __slots__ = ("outcome",)

    def __init__(self) -> None:
        self.outcome: Outcome | None = None

    def settle(self, kind: Kind, message: Any, answers: DomainAnswers) -> None:
        self.outcome = answers.outcome(kind, message)


class Tally:
    """Counts what became of many commands; holds nothing per command."""

    __slots__ = ("accepted", "dead", "published", "refused")

    def __init__(self) -> None:
        self.published = 0
        self.accepted = 0
        self.refused = 0
        self.dead = 0

    @property
    def settled(self) -> int:
        return self.accepted + self.refused + self.dead

    @property
    def outstanding(self) -> int:
        return self.published - self.settled

    def settle(self, kind: Kind, message: Any, answers: DomainAnswers) -> None:
        if kind == "event" or (kind == "answered" and isinstance(answers.outcome(kind, message), Accepted)):
            self.accepted += 1
        elif kind == "dead":
            self.dead += 1
        else:
            self.refused += 1
