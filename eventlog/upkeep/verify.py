"""Proves an archive: contiguous with the log, the same where both hold a record, every file as it was committed.

Contiguity is that of the ranges that were committed, not of offsets that have a record: markers of transactions,
aborted records and what compaction removed take offsets too. That a range holds every record it should is shown against
the log where the log still has it, and by the digest of the file from then on.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

from eventlog.archive import meta, rows
from eventlog.archive.cuts import newest_cut
from eventlog.archive.objects import Frozen, Objects
from eventlog.archive.past import Damaged, fetch
from eventlog.archive.table import Look, NoTable, Segment, Table
from eventlog.errors import NotFound
from eventlog.reader import LogReader
from eventlog.upkeep.overlap import overlap
from eventlog.upkeep.proof import Fault, Proof

FILES_AT_ONCE = 4
BYTES_AT_ONCE = 256 * 1024 * 1024
"""Of files that are read ahead; one is whole in memory, whatever its size."""
NO_FILE = "no file has them"
COMMITTED = "they were committed, and no file has them"
NEITHER = "neither the archive nor the log has them"


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
    with _Checks(objects, on_records=on_records) as checks:
        return _verify(table, table.look(partition), log, partition, checks, compacted=compacted)


def _verify(
    table: Table, look: Look, log: LogReader | None, partition: int, checks: _Checks, *, compacted: bool
) -> Proof:
    proof = Proof(table.topic, partition)
    found: dict[Segment, Fault | int | None] = {}
    while True:
        segments = look.segments
        if log is not None:  # after the table: an archive that grows does not grow past the log
            proof.log_begin, proof.log_end = log.log_bounds(table.topic, partition)
        found |= {segment: checks.of(segment) for segment in segments if segment not in found}
        bad = [each for each in map(found.get, segments) if isinstance(each, Fault)]
        faults = [*contiguity(table.topic, partition, look, proof.log_begin, proof.log_end), *bad]
        # Files that are not there any more because they were compacted are not in the table any more either; what is
        # wrong of the very same files is wrong.
        if not faults or (now := table.look(partition)) == look:
            break
        look = now
    proof.faults = faults
    proof.files, proof.size = len(segments), sum(segment.size for segment in segments)
    proof.records = sum(each for each in map(found.get, segments) if isinstance(each, int))
    proof.unread = [(segment.begin, segment.end) for segment in segments if found[segment] is None]
    proof.frozen = len(proof.unread)
    if segments:
        proof.begin, proof.end = segments[0].begin, segments[-1].end
    if log is not None and segments:
        proof.faults += overlap(checks.objects, table, log, segments, proof, compacted=compacted)
    return proof


def contiguity(topic: str, partition: int, look: Look, log_begin: int, log_end: int) -> Iterator[Fault]:
    """Faults of the ranges: gaps, overlaps, a begin and a position that are not those of the files, a hole before the
    log.
    """
    segments, position, begin = look
    if segments and begin is not None and begin < segments[0].begin:
        yield Fault(topic, partition, begin, segments[0].begin, COMMITTED)
    elif segments and begin is not None and segments[0].begin < begin:
        yield Fault(topic, partition, segments[0].begin, begin, "files hold them, but were committed to begin later")
    for before, after in itertools.pairwise(segments):
        if after.begin > before.end:
            yield Fault(topic, partition, before.end, after.begin, NO_FILE)
        elif after.begin < before.end:
            both = f"two files have them: {before.path}, {after.path}"
            yield Fault(topic, partition, after.begin, min(before.end, after.end), both)
    end = segments[-1].end if segments else begin or 0
    if position is not None and position > end:
        yield Fault(topic, partition, end, position, COMMITTED)
    elif segments and (position or 0) < end:
        yield Fault(topic, partition, position or 0, end, "files hold them, but the committed position is before them")
    if log_begin > end:
        yield Fault(topic, partition, end, log_begin, NEITHER)
    if segments and log_end and end > log_end:
        yield Fault(topic, partition, log_end, end, "the archive has them and the log ends before: it lost what it had")


class _Checks:
    """Checks of files, a few ahead of whoever asks for them in their order. Used from one thread."""

    def __init__(
        self, objects: Objects, segments: Iterable[Segment] = (), *, on_records: Callable[[int], None] = lambda _: None
    ) -> None:
        self.objects = objects
        self._ahead = deque(segments)
        self._on_records = on_records
        self._begun: dict[Segment, Future[Fault | int | None]] = {}
        self._pool = ThreadPoolExecutor(FILES_AT_ONCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def of(self, segment: Segment) -> Fault | int | None:
        """As `check_file`."""
        if self._ahead and self._ahead[0] == segment:
            self._ahead.popleft()
        if segment not in self._begun:
            self._begin(segment)
        while self._ahead and self._room(self._ahead[0]):
            self._begin(self._ahead.popleft())
        found = self._begun.pop(segment).result()
        if isinstance(found, int):
            self._on_records(found)
        return found

    def _begin(self, segment: Segment) -> None:
        self._begun[segment] = self._pool.submit(check_file, self.objects, segment)

    def _room(self, segment: Segment) -> bool:
        at_work = [each.size for each, found in self._begun.items() if not found.done()]
        return len(at_work) < FILES_AT_ONCE and sum(at_work) + segment.size <= BYTES_AT_ONCE


def check_file(objects: Objects, segment: Segment) -> Fault | int | None:
    """Its number of records; what is wrong with it; None where it is frozen."""
    import pyarrow.compute as pc

    try:
        data = fetch(objects, segment)
    except Damaged as damaged:
        return Fault.of(segment, str(damaged).partition(": ")[2])
    except Frozen:
        return _frozen(objects, segment)
    offsets = rows.from_file(data, columns=["offset"]).column(0)
    count = len(offsets)
    if count != segment.records:
        return Fault.of(segment, f"{segment.path} has {count} records, committed were {segment.records}")
    bounds = pc.min_max(offsets).as_py()
    if count and not (segment.begin <= bounds["min"] and bounds["max"] < segment.end):
        return Fault.of(segment, f"{segment.path} has records outside of its range")
    if count > 1 and not pc.all(pc.greater(offsets.slice(1), offsets.slice(0, count - 1))).as_py():
        return Fault.of(segment, f"{segment.path} has records out of order")
    return count


def _frozen(objects: Objects, segment: Segment) -> Fault | None:
    """What can be seen of a file without reading it."""
    try:
        size = objects.head(segment.key).size
    except NotFound:
        return Fault.of(segment, f"the file {segment.path} is missing")
    what = f"{segment.path} has {size} bytes, committed were {segment.size}"
    return None if size == segment.size else Fault.of(segment, what)


def verify_all(
    objects: Objects,
    log: LogReader | None,
    topics: Mapping[str, bool],
    *,
    on_records: Callable[[int], None] = lambda _: None,
) -> Iterator[Proof]:
    """Every partition of these topics (name, whether it is compacted) that the archive or the log has, or should have.

    A topic that the log does not have is proved as far as the archive goes.
    """
    for topic, compacted in topics.items():
        table, known = Table(objects, topic), [] if log is None else log.partitions(topic)
        kept = log if known else None
        try:
            made = range(int(meta.topic_of(objects, topic)["partitions"]))
        except NotFound:
            made = range(0)
        try:
            looks = table.looks({*known, *made})
        except NoTable:
            yield from _gone(objects, kept, topic, known, made)
            continue
        files = itertools.chain.from_iterable(look.segments for look in looks.values())
        with _Checks(objects, files, on_records=on_records) as checks:
            for partition, look in looks.items():
                yield _verify(table, look, kept, partition, checks, compacted=compacted)


def _gone(
    objects: Objects, log: LogReader | None, topic: str, known: Sequence[int], made: Sequence[int]
) -> Iterator[Proof]:
    """Of a topic without a table: what neither has, and what was archived, if somebody wrote down how it was made."""
    cut = newest_cut(objects) if made else None
    for partition in sorted({*known, *made}):
        proof = Proof(topic, partition)
        end = cut.ends.get((topic, partition), 0) if cut else 0
        if log is not None:
            proof.log_begin, proof.log_end = log.log_bounds(topic, partition)
            end = proof.log_end
        proof.faults += contiguity(topic, partition, Look([], None), proof.log_begin, proof.log_end)
        if partition in made and (end or (log is None and cut is None)) and not proof.faults:
            proof.faults.append(Fault(topic, partition, 0, end, "the archive of the topic is gone"))
        if made or proof.faults:
            yield proof
