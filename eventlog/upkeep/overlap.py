"""Holds what the archive has against what the log has, as both stream by: a few thousand records are in memory."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from eventlog.archive import rows
from eventlog.archive.objects import Frozen, Objects
from eventlog.archive.past import Damaged, fetch
from eventlog.archive.table import Segment, Table
from eventlog.envelope import UNREADABLE_NAME, Record
from eventlog.reader import LogReader, headers_of, to_record
from eventlog.upkeep.proof import Fault, Proof

if TYPE_CHECKING:
    import pyarrow as pa
    from confluent_kafka import Message

ROWS_AT_ONCE = 8 * 1024
"""Held against the log's at a time."""
OFFSET_MAX = 2**63 - 1
LACKING = "the archive has it, the log has not"
NOT_VOID = f"{LACKING}, nor a later one of its key"
"""The same of a compacted topic."""


def overlap(
    objects: Objects, table: Table, log: LogReader, segments: Sequence[Segment], proof: Proof, *, compacted: bool
) -> list[Fault]:
    """Faults where both hold a record: each must be the same, and neither may lack one.

    Of a compacted topic either may lack what a later record of its key has made void: the log where it was compacted,
    the archive where its files were. Keys whose record the log lacks are in memory until a later one of them is met.
    """
    begin, end = max(proof.log_begin, proof.begin), min(proof.log_end, proof.end)
    compared = _Compared(proof)
    if begin >= end:
        return []
    logged = _Logged(messages for _, messages, _ in log.batches({(proof.topic, proof.partition): (begin, end)}))
    at, left = begin, deque(segments)
    while left:
        segment = left.popleft()
        first, at = at, min(max(at, segment.end), end)
        if first == at:
            continue
        try:
            data = fetch(objects, segment)
        except (Damaged, Frozen) as error:
            if isinstance(error, Damaged) and segment not in (now := table.look(proof.partition).segments):
                at, left = first, deque(now)  # others are in its place since
                continue
            if isinstance(error, Damaged):
                compared.unreadable(segment, error)
            for _ in logged.before(at):
                pass
            compared.void.clear()  # what follows may be in this file
            continue
        compared.last = _last_offsets(data) if compacted else None
        for batch in rows.batches_from(data, first, at):
            for start in range(0, batch.num_rows, ROWS_AT_ONCE):
                _piece(batch.slice(start, ROWS_AT_ONCE), logged, compared)
        for messages in logged.before(at):
            compared.only_logged(messages)
    _follow(log, (proof.topic, proof.partition), end, compared)
    return compared.ended()


def _follow(log: LogReader, place: tuple[str, int], end: int, compared: _Compared) -> None:
    """What was not archived yet may have made void what the log lacks; it may have come while the rest was read."""
    if compared.void:
        for _, messages, _ in log.batches({place: (end, log.log_bounds(*place)[1])}):
            compared.followed(message.key() for message in messages)


def _piece(batch: pa.RecordBatch, logged: _Logged, compared: _Compared) -> None:
    """Rows of the archive, and the log up to the last of them, whose messages come as they come."""
    offsets, done = batch.column(0).to_pylist(), 0
    for messages in logged.before(offsets[-1] + 1):
        until = bisect_right(offsets, messages[-1].offset() or 0)
        compared.with_log(batch.slice(done, until - done), messages)
        done = until
    if done < len(offsets):
        compared.with_log(batch.slice(done), [])


def _last_offsets(data: bytes) -> dict[bytes, int]:
    """The last offset of each key in a file."""
    last: dict[Any, int] = {}
    for batch in rows.batches_from(data, 0, OFFSET_MAX, columns=["offset", "key"]):
        last.update(zip(batch.column(1).to_pylist(), batch.column(0).to_pylist(), strict=True))
    last.pop(None, None)
    return last


class _Logged:
    """Messages of the log in their order, as many at a time as come."""

    def __init__(self, batches: Iterator[list[Message]]) -> None:
        self._batches = batches
        self._left: list[Message] = []

    def before(self, offset: int) -> Iterator[list[Message]]:
        """Those that come before an offset."""
        while True:
            while not self._left:
                if (more := next(self._batches, None)) is None:
                    return
                self._left = more
            count = bisect_left(self._left, offset, key=lambda message: message.offset() or 0)
            taken, self._left = self._left[:count], self._left[count:]
            if taken:
                yield taken
            if self._left:
                return


class _Compared:
    """Where archive and log differ: a fault for each run of records with the same thing wrong, none right between."""

    def __init__(self, proof: Proof) -> None:
        self._proof = proof
        self._faults: list[Fault] = []
        self._run: Fault | None = None
        self.last: dict[bytes, int] | None = None
        """Of a compacted topic: each key's last offset in the archive's file."""
        self.void: dict[bytes | None, int] = {}
        """Of a compacted topic: offsets that the log lacks, by keys of which nothing later was met so far."""

    def with_log(self, batch: pa.RecordBatch, messages: Sequence[Message]) -> None:
        """Rows, and the messages of the same range. As columns first; one by one only where these are not equal."""
        import pyarrow as pa

        table = pa.Table.from_batches([batch])
        if batch.num_rows == len(messages) and rows.to_table(list(map(to_record, messages))).equals(table):
            self._proof.compared += len(messages)
            self._right()
            self.followed(message.key() for message in messages)
        else:
            self._one_by_one(rows.to_records(table, self._proof.topic, self._proof.partition), deque(messages))

    def _one_by_one(self, records: Iterator[Record], messages: deque[Message]) -> None:
        for record in records:
            while messages and (messages[0].offset() or 0) < record.offset:
                self.only_logged([messages.popleft()])
            self.followed([record.key])
            if not messages or messages[0].offset() != record.offset:
                if self.last is None:
                    self._wrong(record.offset, LACKING)
                elif record.value is not None:  # Kafka forgets after a while that a key was removed
                    self.void[record.key] = record.offset
                continue
            self._proof.compared += 1
            if same(record, messages.popleft()):
                self._right()
            else:
                self._wrong(record.offset, "the archive and the log differ")
        self.only_logged(messages)

    def only_logged(self, messages: Iterable[Message]) -> None:
        """Messages that the archive does not have."""
        for message in messages:
            offset, key = message.offset() or 0, message.key()
            self.followed([key])
            if self.last is None or key is None or self.last.get(key, -1) < offset:
                self._wrong(offset, "the log has it, the archive has not")

    def followed(self, keys: Iterable[bytes | None]) -> None:
        """Note keys of records that come now: what the log lacks of them it may lack."""
        if self.void:
            for key in keys:
                self.void.pop(key, None)

    def _right(self) -> None:
        if self._run is not None:
            self._faults.append(self._run)
            self._run = None

    def _wrong(self, offset: int, what: str) -> None:
        if self._run is None or self._run.what != what:
            self._right()
            self._run = Fault(self._proof.topic, self._proof.partition, offset, offset + 1, what)
        else:
            self._run = replace(self._run, end=offset + 1)

    def unreadable(self, segment: Segment, damaged: Damaged) -> None:
        """A file could be read when it was checked, or that it could not was said then."""
        self._right()
        fault = Fault.of(segment, str(damaged).partition(": ")[2])
        if fault not in self._proof.faults:
            self._faults.append(fault)

    def ended(self) -> list[Fault]:
        """All of them."""
        self._right()
        for offset in sorted(self.void.values()):
            if self._run is not None and self._run.end < offset:
                self._right()
            self._wrong(offset, NOT_VOID)
        self._right()
        return self._faults


def same(record: Record, message: Message) -> bool:
    """Whether the archive's record is the log's, as far as the client gives it: a header whose name is not UTF-8 or has
    a zero byte it cannot give.
    """
    kind, stamp = message.timestamp()
    if (record.key, record.value, record.timestamp) != (message.key(), message.value(), stamp):
        return False
    if record.timestamp_type != kind - 1:
        return False
    headers = list(headers_of(message))
    if headers == [(UNREADABLE_NAME, b"")]:
        return True
    return [(name.partition("\0")[0], value) for name, value in record.headers] == headers
