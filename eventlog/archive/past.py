"""Reads the archive as the log is read: records of a range of offsets, in order, each once."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

from eventlog.archive import meta, rows
from eventlog.archive.frozen import RangeFrozen, Request, require_readable, state_of
from eventlog.archive.objects import Frozen, Objects
from eventlog.archive.table import NoTable, Segment, Table
from eventlog.errors import Hole, NotFound, OnefactError
from eventlog.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

FILES_KEPT_BYTES = 64 * 1024 * 1024
"""Of files read last, or of the last one, if it is larger: one key's history is asked for again and again."""


class Damaged(OnefactError):
    """A file of the archive is missing or altered; the message names the offsets."""


class Archived:
    """A record of the archive, with the methods of the client's message that readers use."""

    __slots__ = ("_row", "_rows")

    def __init__(self, of: Rows, row: int) -> None:
        self._rows = of
        self._row = row

    def topic(self) -> str:
        return self._rows.topic

    def partition(self) -> int:
        return self._rows.partition

    def offset(self) -> int:
        return self._rows.offsets[self._row]

    def key(self) -> bytes | None:
        return self._rows.keys[self._row]

    def value(self) -> bytes | None:
        return self._rows.values[self._row]

    def timestamp(self) -> tuple[int, int]:
        """Type as the client counts it (from 1) and milliseconds."""
        return self._rows.kinds[self._row] + 1, self._rows.stamps[self._row]

    def headers(self) -> list[tuple[str, bytes | None]]:
        return self._rows.headers(self._row)

    def error(self) -> None:
        return None


class Rows:
    """Some rows of a file as lists; headers are made where they are asked for."""

    def __init__(self, topic: str, partition: int, batch: pa.RecordBatch) -> None:
        self.topic = topic
        self.partition = partition
        self.offsets: list[int]
        self.stamps: list[int]
        self.kinds: list[int]
        self.keys: list[bytes | None]
        self.values: list[bytes | None]
        self.offsets, self.stamps, self.kinds, self.keys, self.values = (
            batch.column(index).to_pylist() for index in range(5)
        )
        self._column = batch.column(5)
        self._headers: list[list[tuple[str, bytes | None]]] | None = None

    def headers(self, row: int) -> list[tuple[str, bytes | None]]:
        if self._headers is None:
            self._headers = rows.headers_of(self._column)
        return self._headers[row]


class Past:
    """The archive under a reader of the log; used from any thread."""

    def __init__(self, settings: Settings) -> None:
        self._objects = Objects(settings)
        self._tables: dict[str, Table] = {}
        self._files: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def bounds(self, topic: str, partition: int) -> tuple[int, int] | None:
        """First offset archived, and the offset after the last; None where nothing is."""
        segments = self.segments(topic, partition)
        return (segments[0].begin, segments[-1].end) if segments else None

    def topic_id(self, topic: str) -> str | None:
        """Kafka's own id of the topic that was archived under the name; None where none was."""
        try:
            return str(meta.topic_of(self._objects, topic)["topic_id"])
        except NotFound:
            return None

    def partitions(self, topic: str) -> list[int]:
        """Those of the topic that have something in the archive."""
        return sorted({segment.partition for segment in self._all(topic)})

    def segments(self, topic: str, partition: int) -> list[Segment]:
        """The partition's files, in order; empty where nothing is archived."""
        return [segment for segment in self._all(topic) if segment.partition == partition]

    def spans(self, topic: str, partition: int, *, over_gaps: bool = False) -> list[tuple[int, int]]:
        """Ranges without a gap between their files, in order; `over_gaps` is one, which raises `Hole` where it is read.

        Of what is kept for a time only, some may have gone before it was archived.
        """
        found: list[tuple[int, int]] = []
        for segment in self.segments(topic, partition):
            if found and (over_gaps or segment.begin <= found[-1][1]):
                found[-1] = found[-1][0], segment.end
            else:
                found.append((segment.begin, segment.end))
        return found

    def _all(self, topic: str) -> list[Segment]:
        if topic not in self._tables:
            self._tables[topic] = Table(self._objects, topic)
        try:
            return self._tables[topic].segments()
        except NoTable:
            return []

    def batches(self, topic: str, partition: int, begin: int, end: int) -> Iterator[tuple[list[Archived], int]]:
        """Records of the range, some thousand at a time, and the offset read to; raises what `pieces` does."""
        for batch, reached in self.pieces(topic, partition, begin, end):
            if batch is None:
                yield [], reached
                continue
            for start in range(0, batch.num_rows, rows.PYTHON_RECORDS):
                made = Rows(topic, partition, batch.slice(start, rows.PYTHON_RECORDS))
                yield [Archived(made, row) for row in range(len(made.offsets))], made.offsets[-1] + 1

    def pieces(self, topic: str, partition: int, begin: int, end: int) -> Iterator[tuple[pa.RecordBatch | None, int]]:
        """Rows of the range by row groups, and the offset that has been read to; None where a file ends.

        Raises `Hole` where the archive lacks a part, `Damaged` where a file does, `RangeFrozen` where some must be
        restored first and nothing says that readers may ask for that (`ONEFACT_ARCHIVE_RESTORE`).
        """
        at = begin
        segments = deque(self._of(topic, partition, begin, end))
        while segments and segments[0].begin <= at:
            segment = segments.popleft()
            try:
                data = self._file(segment)
            except Frozen:
                self._restore([segment, *segments])
                segments.appendleft(segment)
                continue
            except Damaged:
                if segment in (now := self._of(topic, partition, at, end)):
                    raise
                segments = deque(now)  # others are in its place since
                continue
            for batch in _ahead(rows.batches_from(data, at, end, indexed=True)):
                yield batch, batch.column(0)[-1].as_py() + 1
            at = segment.end
            yield None, min(at, end)
        if at < end:
            raise Hole.of(topic, partition, at, segments[0].begin if segments else end)

    def have_readable(self, segments: Sequence[Segment]) -> None:
        """Return when all of these can be read; raises `RangeFrozen` as `pieces` does."""
        if frozen := [segment for segment in segments if segment.tier == "frozen"]:
            self._restore(frozen)

    def _restore(self, segments: Sequence[Segment]) -> None:
        """Ask for the first, which could not be read, and for what else of them is frozen; or raise what it takes."""
        frozen = [*segments[:1], *(segment for segment in segments[1:] if segment.tier == "frozen")]
        request = Request(self._objects, [each for each in frozen if state_of(self._objects, each.key) != "readable"])
        speed = self._objects.settings.archive_restore
        if speed is None and request.segments:
            raise RangeFrozen(request)
        request.ask(speed or "Standard")
        request.wait(self._objects.settings.archive_look_s)

    def _of(self, topic: str, partition: int, begin: int, end: int) -> Sequence[Segment]:
        segments = self.segments(topic, partition)
        first = max(0, bisect_right([segment.begin for segment in segments], begin) - 1)
        return [segment for segment in segments[first:] if segment.end > begin and segment.begin < end]

    def _file(self, segment: Segment) -> bytes:
        """A file, its digest checked."""
        with self._lock:
            if (kept := self._files.get(segment.key)) is not None:
                self._files.move_to_end(segment.key)
                return kept
        data = fetch(self._objects, segment)
        with self._lock:
            self._files[segment.key] = data
            # The newest stays whatever its size: whoever reads it piece by piece comes back for the next piece.
            while len(self._files) > 1 and sum(map(len, self._files.values())) > FILES_KEPT_BYTES:
                self._files.popitem(last=False)
        return data


def _ahead(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same; once a second one is wanted, the next one is unpacked while the caller works on this one."""
    yield from islice(batches, 1)
    with ThreadPoolExecutor(1, thread_name_prefix="unpack") as pool:
        following = pool.submit(next, batches, None)
        while (batch := following.result()) is not None:
            following = pool.submit(next, batches, None)
            yield batch


def fetch(objects: Objects, segment: Segment) -> bytes:
    """A file as it was committed; raises `Damaged` naming the offsets that are lost with it."""
    try:
        if segment.tier == "frozen":
            require_readable(objects, segment.key)
        data = objects.get(segment.key)
    except NotFound:
        raise Damaged(f"{segment.span}: the file {segment.path} is missing") from None
    if rows.digest_of(data) != segment.digest:
        raise Damaged(f"{segment.span}: the file {segment.path} was altered")
    return data
