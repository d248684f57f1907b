"""Proves an archive: contiguous with the log, the same where both hold a record, every file as it was committed.

Contiguity is that of the ranges that were committed, not of offsets that have a record: markers of transactions,
aborted records and what compaction removed take offsets too. That a range holds every record it should is shown against
the log where the log still has it, and by the digest of the file from then on.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eventlog.archive import rows
from eventlog.archive.objects import Frozen, Objects
from eventlog.archive.past import Damaged, Past, fetch
from eventlog.archive.table import Segment, Table
from eventlog.envelope import UNREADABLE_NAME, Record
from eventlog.errors import NotFound
from eventlog.reader import LogReader, headers_of

if TYPE_CHECKING:
    from confluent_kafka import Message

FILES_AT_ONCE = 4


@dataclass(frozen=True)
class Fault:
    """Something that is not as it should be, with the offsets that it concerns."""

    topic: str
    partition: int
    begin: int
    end: int
    what: str

    def __str__(self) -> str:
        return f"{self.topic}:{self.partition} offsets {self.begin} to {self.end - 1}: {self.what}"


@dataclass
class Proof:
    """Of one partition."""

    topic: str
    partition: int
    begin: int = 0
    end: int = 0
    """What is archived: from `begin` to before `end`."""
    log_begin: int = 0
    log_end: int = 0
    files: int = 0
    frozen: int = 0
    """Files that were not read, because they would have to be restored; that they are there was seen."""
    unread: list[tuple[int, int]] = field(default_factory=list)
    """Their ranges."""
    records: int = 0
    size: int = 0
    compared: int = 0
    """Records that were held against the log's."""
    faults: list[Fault] = field(default_factory=list)


def verify(
    objects: Objects,
    log: LogReader | None,
    topic: str,
    partition: int,
    *,
    compacted: bool = False,
    on_records: Callable[[int], None] = lambda _: None,
) -> Proof:
    """Prove one partition; without a log the archive alone. Faults are found, not raised."""
    table = Table(objects, topic)
    segments = [segment for segment in table.segments() if segment.partition == partition]
    proof = Proof(topic, partition, files=len(segments))
    if log is not None:
        proof.log_begin, proof.log_end = log.log_bounds(topic, partition)
    if segments:
        proof.begin, proof.end = segments[0].begin, segments[-1].end
    position = table.next_offset(partition)
    proof.faults += contiguity(topic, partition, segments, position, proof.log_begin, proof.log_end)
    proof.faults += _files(objects, segments, proof, on_records)
    if log is not None and segments:
        proof.faults += _overlap(objects, log, segments, proof, compacted=compacted)
    return proof


def contiguity(
    topic: str, partition: int, segments: Sequence[Segment], position: int | None, log_begin: int, log_end: int
) -> Iterator[Fault]:
    """Faults of the ranges: gaps, overlaps, a position that is not where the files end, a hole before the log."""
    for before, after in itertools.pairwise(segments):
        if after.begin > before.end:
            yield Fault(topic, partition, before.end, after.begin, "no file has them")
        elif after.begin < before.end:
            both = f"two files have them: {before.path}, {after.path}"
            yield Fault(topic, partition, after.begin, min(before.end, after.end), both)
    end = segments[-1].end if segments else 0
    if position is not None and position > end:
        yield Fault(topic, partition, end, position, "they were committed, and no file has them")
    elif segments and (position or 0) < end:
        yield Fault(topic, partition, position or 0, end, "files hold them, but the committed position is before them")
    if segments and log_begin > end:
        yield Fault(topic, partition, end, log_begin, "neither the archive nor the log has them")
    if segments and log_end and end > log_end:
        yield Fault(topic, partition, log_end, end, "the archive has them and the log ends before: it lost what it had")


def _files(
    objects: Objects, segments: Sequence[Segment], proof: Proof, on_records: Callable[[int], None]
) -> Iterator[Fault]:
    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        # A few ahead only: whole files are in memory.
        for chunk in _chunks(segments):
            for segment, found in zip(chunk, pool.map(lambda each: check_file(objects, each), chunk), strict=True):
                proof.size += segment.size
                match found:
                    case Fault():
                        yield found
                    case None:
                        proof.frozen += 1
                        proof.unread.append((segment.begin, segment.end))
                    case count:
                        proof.records += count
                        on_records(count)


def _chunks(segments: Sequence[Segment]) -> Iterator[Sequence[Segment]]:
    for start in range(0, len(segments), FILES_AT_ONCE):
        yield segments[start : start + FILES_AT_ONCE]


def check_file(objects: Objects, segment: Segment) -> Fault | int | None:
    """Its number of records; what is wrong with it; None where it is frozen."""
    import pyarrow.compute as pc

    def fault(what: str) -> Fault:
        return Fault(segment.topic, segment.partition, segment.begin, segment.end, what)

    try:
        data = fetch(objects, segment)
    except Damaged as damaged:
        return fault(str(damaged).partition(": ")[2])
    except Frozen:
        return _frozen(objects, segment, fault)
    offsets = rows.from_file(data, columns=["offset"]).column(0).combine_chunks()
    count = len(offsets)
    if count != segment.records:
        return fault(f"{segment.path} has {count} records, committed were {segment.records}")
    bounds = pc.min_max(offsets).as_py()
    if count and not (segment.begin <= bounds["min"] and bounds["max"] < segment.end):
        return fault(f"{segment.path} has records outside of its range")
    if count > 1 and not pc.all(pc.greater(offsets.slice(1), offsets.slice(0, count - 1))).as_py():
        return fault(f"{segment.path} has records out of order")
    return count


def _frozen(objects: Objects, segment: Segment, fault: Callable[[str], Fault]) -> Fault | None:
    """What can be seen of a file without reading it."""
    try:
        size = objects.head(segment.key).size
    except NotFound:
        return fault(f"the file {segment.path} is missing")
    return None if size == segment.size else fault(f"{segment.path} has {size} bytes, committed were {segment.size}")


def _overlap(
    objects: Objects, log: LogReader, segments: Sequence[Segment], proof: Proof, *, compacted: bool
) -> Iterator[Fault]:
    """Faults where both hold a record: each must be the same, and neither may lack one.

    Of a compacted topic either may lack what a later record of its key has made void: the log where it was compacted,
    the archive where its files were.
    """
    begin, end = max(proof.log_begin, proof.begin), min(proof.log_end, proof.end)
    place = (proof.topic, proof.partition)
    logged = _Logged(message for _, messages, _ in log.batches({place: (begin, end)}) for message in messages)
    for segment in segments:
        if segment.end <= begin or segment.begin >= end:
            continue
        try:
            archived = list(rows.to_records(rows.from_file(fetch(objects, segment)), *place))
        except (Damaged, Frozen):
            logged.before(segment.end)
            continue  # said before, with the file
        different: list[tuple[int, str]] = []
        lacking: list[Message] = []
        for record in archived:
            if not begin <= record.offset < end:
                continue
            lacking += logged.before(record.offset)
            if (message := logged.at(record.offset)) is None:
                if not compacted:
                    different.append((record.offset, "the archive has it, the log has not"))
                continue
            proof.compared += 1
            if not same(record, message):
                different.append((record.offset, "the archive and the log differ"))
        lacking += logged.before(min(segment.end, end))
        last = {record.key: record.offset for record in archived if record.key is not None} if compacted else {}
        for message in lacking:
            offset = message.offset() or 0
            if last.get(message.key() or b"", -1) < offset:
                different.append((offset, "the log has it, the archive has not"))
        yield from _ranges(proof, sorted(different))


class _Logged:
    """Messages of the log, taken by their offsets."""

    def __init__(self, messages: Iterator[Message]) -> None:
        self._messages = messages
        self._next = next(messages, None)

    def before(self, offset: int) -> list[Message]:
        """Those that come before an offset."""
        found = []
        while self._next is not None and (self._next.offset() or 0) < offset:
            found.append(self._next)
            self._next = next(self._messages, None)
        return found

    def at(self, offset: int) -> Message | None:
        """The one of an offset, once those before it were taken."""
        found = self._next
        if found is None or (found.offset() or 0) != offset:
            return None
        self._next = next(self._messages, None)
        return found


def _ranges(proof: Proof, different: Sequence[tuple[int, str]]) -> Iterator[Fault]:
    """One fault for each run of offsets with the same thing wrong."""
    for what, run in itertools.groupby(different, key=lambda each: each[1]):
        offsets = [offset for offset, _ in run]
        yield Fault(proof.topic, proof.partition, offsets[0], offsets[-1] + 1, what)


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


def verify_all(
    objects: Objects,
    log: LogReader | None,
    topics: Mapping[str, bool],
    *,
    on_records: Callable[[int], None] = lambda _: None,
) -> Iterator[Proof]:
    """Every partition that is archived of these topics (name, whether it is compacted)."""
    past = Past(objects.settings)
    for topic, compacted in topics.items():
        for partition in past.partitions(topic):
            yield verify(objects, log, topic, partition, compacted=compacted, on_records=on_records)
