"""The client's messages as records."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence

from confluent_kafka import Message

from eventlog.envelope import UNREADABLE_NAME, Record


class Unread:
    """A client's message as a `RawRecord` that takes from it what is asked for: many are known by their value alone."""

    __slots__ = ("_message", "value")

    def __init__(self, message: Message) -> None:
        self._message = message
        self.value: bytes | None = message.value()

    @property
    def topic(self) -> str:
        return self._message.topic() or ""

    @property
    def partition(self) -> int:
        return self._message.partition() or 0

    @property
    def offset(self) -> int:
        return self._message.offset() or 0

    @property
    def timestamp(self) -> int:
        return self._message.timestamp()[1]

    @property
    def key(self) -> bytes | None:
        return self._message.key()

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        return headers_of(self._message)


def headers_of(message: Message) -> Sequence[tuple[str, bytes | None]]:
    """A message's headers, whatever their names are.

    Where a name is not UTF-8 the client raises, and has left a list with null pointers in the message that ends the
    process when it is looked at: it is replaced by one header of a name that makes the record one for the dead letters.
    """
    try:
        return _headers(message) or ()
    except SystemError:
        message.set_headers([(UNREADABLE_NAME, b"")])
        return _headers(message) or ()


# Not `message.headers()`: where that is called often, the interpreter calls the client's function without a look at
# whether it has raised, and the error would come up at whatever is done next.
_headers: Callable[[Message], Sequence[tuple[str, bytes | None]] | None] = operator.methodcaller("headers")


def to_record(message: Message) -> Record:
    """A client's message as a raw record."""
    kind, timestamp = message.timestamp()
    return Record(
        message.topic() or "",
        message.partition() or 0,
        message.offset() or 0,
        timestamp,
        message.key(),
        message.value(),
        headers_of(message),
        max(0, kind - 1),  # the client counts from one
    )
