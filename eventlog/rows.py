"""Records on their way out: what a step hands to whoever appends them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from urllib.parse import quote_from_bytes, unquote_to_bytes

from eventlog.envelope import Headers, RawRecord
from eventlog.errors import Poison
from eventlog.topics import WIRE_BYTES_MAX, Topic

OutRow = tuple[bytes | None, bytes | None, Headers]
"""Key, value, headers."""

DEAD_PREFIX = "onefact_dead_"
"""Of the headers that a dead letter has beside the original ones."""
NAME_PREFIX = DEAD_PREFIX + "name:"
"""Before an original name that could not stand as it is: not UTF-8, cut by a client, or like one of a letter's own."""
REASON_BYTES_MAX = 2000
CUT_BYTES = 64 * 1024
"""What a letter keeps of key, value and headers (each) of a record that is too large even for the dead letters."""

Flush = Callable[[dict[str, list[OutRow]]], None]
"""Takes the rows that there are by topic, and leaves the lists empty."""
FLUSH_RECORDS = 100
"""Records between two times that a step's rows are taken off its hands, while they are still in the processor's
cache: rows of a whole batch are not, and putting them into bytes from memory took a fifth of all time."""

AnyHeaders = Iterable[tuple[str, bytes | None]]


def dead_letter(record: RawRecord, role: str, poison: Poison, room: int = WIRE_BYTES_MAX) -> OutRow:
    """The record as it was, its value and headers untouched, with the reason and the position it had.

    The key names reader and position, so that a second letter about the same record replaces the first. What takes
    more than `room` bytes (a record may come compressed, and is unpacked here) is cut, and the letter says so.
    """
    position = f"{role}/{record.topic}/{record.partition}/{record.offset}"
    said = {
        "code": poison.code,
        "reason": poison.reason[:REASON_BYTES_MAX],
        "role": role,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
    }
    headers: Headers = [(DEAD_PREFIX + name, str(value).encode(errors="replace")) for name, value in said.items()]
    key, value = record.key, record.value or b""
    kept: list[tuple[str, bytes | None]] = [(_escaped(name), content) for name, content in record.headers]
    size = len(key or b"") + len(value) + sum(map(_size, kept))
    if size > room:
        headers.append((DEAD_PREFIX + "cut", b"%d" % size))
        key, value, kept = key and key[:CUT_BYTES], value[:CUT_BYTES], _first(kept)
    if key is not None:
        headers.append((DEAD_PREFIX + "key", key))
    if record.value is None:
        # A record without a value would be a tombstone: the letter would be gone with the next compaction.
        headers.append((DEAD_PREFIX + "null", b"1"))
    headers.extend(kept)  # type: ignore[arg-type]
    return position.encode(), value, headers


def original_value(value: bytes | None, headers: AnyHeaders) -> bytes | None:
    """The value of the record that a dead letter is about."""
    return None if any(name == DEAD_PREFIX + "null" for name, _ in headers) else value


def original_headers(headers: AnyHeaders) -> list[tuple[str, bytes | None]]:
    """The headers of the record that a dead letter is about; bytes of a name that are not UTF-8 as surrogates."""
    found = []
    for name, value in headers:
        if name.startswith(NAME_PREFIX):
            raw = unquote_to_bytes(name.removeprefix(NAME_PREFIX))
            found.append((raw.decode(errors="surrogateescape"), value))
        elif not name.startswith(DEAD_PREFIX):
            found.append((name, value))
    return found


def writable(name: str) -> bool:
    """Whether every client can write and read a header of this name."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in name


def _escaped(name: str) -> str:
    if writable(name) and not name.startswith(DEAD_PREFIX):
        return name
    return NAME_PREFIX + quote_from_bytes(name.encode(errors="surrogateescape"))


def _size(header: tuple[str, bytes | None]) -> int:
    # A name takes up to four bytes a character; lengths take up to five each.
    return 4 * len(header[0]) + len(header[1] or b"") + 10


def _first(headers: list[tuple[str, bytes | None]]) -> list[tuple[str, bytes | None]]:
    kept, left = [], CUT_BYTES
    for header in headers:
        left -= _size(header)
        if left < 0:
            break
        kept.append(header)
    return kept


class Outputs:
    """Rows by topic, for the partition that the batch came from.

    `keyed` and `spread` ones go where their key belongs: of `keyed` the last of each key, of `spread` all, in order.
    """

    __slots__ = ("keyed", "rows", "spread")

    def __init__(self) -> None:
        self.rows: dict[str, list[OutRow]] = {}
        self.keyed: dict[str, dict[bytes, OutRow]] = {}
        self.spread: dict[str, list[OutRow]] = {}

    def dead(self, record: RawRecord, topic: Topic, role: str, poison: Poison) -> None:
        letter = dead_letter(record, role, poison, topic.wire_bytes_max)
        self.rows.setdefault(topic.dead.name, []).append(letter)
