"""Records on their way out: what a step hands to whoever appends them."""

from __future__ import annotations

from collections.abc import Iterable

from eventlog.envelope import Headers, RawRecord
from eventlog.errors import Poison
from eventlog.topics import Topic

OutRow = tuple[bytes | None, bytes | None, Headers]
"""Key, value, headers."""

DEAD_PREFIX = "onefact_dead_"
"""Of the headers that a dead letter has beside the original ones."""
REASON_BYTES_MAX = 2000


def dead_letter(record: RawRecord, role: str, poison: Poison) -> OutRow:
    """The record as it was, its value and headers untouched, with the reason and the position it had.

    The key names reader and position, so that a second letter about the same record replaces the first.
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
    if record.key is not None:
        headers.append((DEAD_PREFIX + "key", record.key))
    if record.value is None:
        # A record without a value would be a tombstone: the letter would be gone with the next compaction.
        headers.append((DEAD_PREFIX + "null", b"1"))
    headers.extend(record.headers)  # type: ignore[arg-type]
    return position.encode(), record.value or b"", headers


def original_value(value: bytes | None, headers: Iterable[tuple[str, bytes | None]]) -> bytes | None:
    """The value of the record that a dead letter is about."""
    return None if any(name == DEAD_PREFIX + "null" for name, _ in headers) else value


class Outputs:
    """Rows by topic, for the partition that the batch came from; `keyed` ones go where their key belongs."""

    __slots__ = ("keyed", "rows")

    def __init__(self) -> None:
        self.rows: dict[str, list[OutRow]] = {}
        self.keyed: dict[str, dict[bytes, OutRow]] = {}

    def dead(self, record: RawRecord, topic: Topic, role: str, poison: Poison) -> None:
        self.rows.setdefault(topic.dead.name, []).append(dead_letter(record, role, poison))
