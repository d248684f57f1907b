"""What a decider's answers are, and who waits for them."""

from __future__ import annotations

from typing import Any, Literal, Protocol

from eventlog.codec import Codec
from eventlog.envelope import DECIDED
from eventlog.errors import UnknownSchema
from eventlog.message import CommandAnswered, CommandRejected
from eventlog.position import Position
from eventlog.reader import headers_of
from eventlog.rows import DEAD_PREFIX
from eventlog.topics import Domain
from producers.outcome import Accepted, DeadLettered, Outcome, Refused

Kind = Literal["event", "rejected", "answered", "dead"]
Command = tuple[bytes, bytes]
"""Stream key and command id: the same id may be used in two streams."""


class Waiter(Protocol):
    """Is told each answer to a command that it waits for; from the listener's thread, under its lock."""

    def settle(self, kind: Kind, message: Any, answers: DomainAnswers) -> None: ...


class DomainAnswers:
    """The topics on which a domain answers, and who waits for what there."""

    def __init__(self, domain: Domain, codec: Codec) -> None:
        self.domain = domain
        self.events = domain.topic("events").name
        self.kinds: dict[str, Kind] = {
            self.events: "event",
            domain.topic("rejections").name: "rejected",
            domain.topic("outcomes").name: "answered",
            domain.topic("commands").dead.name: "dead",
        }
        self.watched: set[int] = set()
        self.waiting: dict[Command, Waiter | list[Waiter]] = {}
        self.unfinished: dict[Command, int] = {}
        """Events still to come of commands that led to several."""
        self._codec = codec

    def outcome(self, kind: Kind, message: Any) -> Outcome:
        """The answer that a record is; raises `Poison` when it is none."""
        if kind == "event":
            headers: dict[str, Any] = dict(headers_of(message))
            position = Position.of(self.events, message.partition(), message.offset() + 1)
            return Accepted(message.key().decode(), int(headers["ce_sequence"]), str(position))
        if kind == "dead":
            headers = dict(headers_of(message))
            return DeadLettered(headers[DEAD_PREFIX + "code"].decode(), headers[DEAD_PREFIX + "reason"].decode())
        fact = self._decode(kind, message.value())
        if isinstance(fact, CommandRejected):
            return Refused(fact.code, fact.reason)
        assert isinstance(fact, CommandAnswered)
        if fact.code is not None:
            return Refused(fact.code, fact.reason or "")
        position = Position() if fact.offset < 0 else Position.of(self.events, message.partition(), fact.offset)
        return Accepted(fact.subject, fact.version, str(position))

    def _decode(self, kind: Kind, value: bytes | None) -> object:
        topic = self.domain.topic("rejections" if kind == "rejected" else "outcomes")
        try:
            return self._codec.decode(value, topic)
        except UnknownSchema as unknown:
            self._codec.learn(unknown.schema_id)
            return self._codec.decode(value, topic)

    def take(self, kind: Kind, message: Any) -> bool:
        """Hand a record to the one that waits for it; True when somebody did."""
        headers = dict(headers_of(message))
        if kind == "dead":
            key, command_id = headers.get(DEAD_PREFIX + "key"), headers.get("ce_id")
        else:
            key, command_id = message.key(), headers.get("ce_causationid")
        command = (key, command_id)
        waiter = self.waiting.get(command)  # type: ignore[arg-type]
        if waiter is None or message.value() is None:
            return False
        assert key is not None
        assert command_id is not None
        if kind == "event" and DECIDED in headers and not self._last(command, int(headers[DECIDED])):  # type: ignore[arg-type]
            return False
        if isinstance(waiter, list):
            several, waiter = waiter, waiter.pop(0)
            if not several:
                del self.waiting[command]  # type: ignore[arg-type]
        else:
            del self.waiting[command]  # type: ignore[arg-type]
        waiter.settle(kind, message, self)
        return True

    def _last(self, command: Command, count: int) -> bool:
        left = self.unfinished.get(command, count) - 1
        if left > 0:
            self.unfinished[command] = left
            return False
        self.unfinished.pop(command, None)
        return True
