"""Writes one partition's archive: records gathered, and committed as one file with the position after them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eventlog.archive import rows
from eventlog.archive.objects import Objects
from eventlog.archive.table import Segment, Table
from eventlog.envelope import Record
from eventlog.errors import Fenced, OnefactError

if TYPE_CHECKING:
    import pyarrow as pa

FILE_BYTES_MAX = 32 * 1024 * 1024
"""Of rows in memory, before compression; a file has an eighth of it or so."""
FILE_AGE_S = 60.0
"""So long a record waits for others at the most."""
MEMORY_BYTES_MAX = 256 * 1024 * 1024
"""Of rows that wait in all partitions of a process together."""

WRITING_MAX = 2
"""Files of a process that are made at a time: each takes several times its rows, and a core."""


@dataclass
class Share:
    """What the partitions of one process have together: memory, shared by those in which rows wait."""

    bytes_max: int = MEMORY_BYTES_MAX
    partitions: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    writing: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(WRITING_MAX))
    """Held while rows become a file."""

    def join(self, by: int = 1) -> None:
        with self.lock:
            self.partitions += by

    @property
    def each(self) -> int:
        """For one partition."""
        return self.bytes_max // max(1, self.partitions)


class PartitionSink:
    """One partition of one topic; used from one thread at a time.

    `open` tells where to go on, `add` takes records, `flush` commits them. After any error nothing is known of what was
    committed: `open` again. What was refused, or was taken before an `open` that did not come to its end, is forgotten:
    whoever closes then flushes nothing behind a position that it was not read from.

    What is committed reaches up to where the log was read (`read_to`), not to the last record only: the log may come to
    begin after the markers behind it, and nobody could tell then that they were nothing else.
    """

    def __init__(
        self,
        objects: Objects,
        table: Table,
        partition: int,
        *,
        share: Share | None = None,
        before_commit: Callable[[set[int]], None] = lambda _: None,
        bytes_max: int = FILE_BYTES_MAX,
        age_s: float = FILE_AGE_S,
    ) -> None:
        self._objects = objects
        self._table = table
        self._partition = partition
        self._share = share or Share()
        self._before_commit = before_commit
        self._bytes_max = bytes_max
        self._age_s = age_s
        self._committed: int | None = None
        self._waiting: list[pa.Table] = []
        self._clear(0)

    def _clear(self, begin: int) -> None:
        if self._waiting:
            self._share.join(-1)
        self._begin = self._end = begin
        self._waiting = []
        self._bytes = 0
        self._since = 0.0
        self._schemas: set[int] = set()

    def open(self, first: Callable[[], int]) -> int:
        """The next offset wanted. `first()` is asked where nothing is archived: where the log begins."""
        self._forget()
        self._table.create()
        committed = self._table.next_offset(self._partition)
        begin = first() if committed is None else committed
        self._clear(begin)
        self._committed = committed
        return begin

    def skip_to(self, offset: int) -> None:
        """Take it that nobody has what comes before an offset: the next file begins there, and the gap stays one.

        Only where nothing waits.
        """
        assert not self._waiting
        self._clear(offset)

    def close(self) -> None:
        """Let go; what was not committed is archived by the next owner."""
        self._forget()

    def _forget(self) -> None:
        self._committed = None
        self._clear(0)

    @property
    def due(self) -> bool:
        """What waits is enough, or has waited long enough."""
        limit = min(self._bytes_max, self._share.each)
        return self.waits and (self._bytes >= limit or time.monotonic() - self._since >= self._age_s)

    @property
    def waits(self) -> bool:
        """There are records to be committed, or what follows the last ones."""
        return bool(self._waiting) or (self._committed is not None and self._end > self._begin)

    def read_to(self, end: int) -> None:
        """Take it that no record follows the ones taken before until this offset."""
        if end > self._end:
            if not self.waits:
                self._since = time.monotonic()
            self._end = end

    def add(self, records: Sequence[Record]) -> None:
        """Take records that follow the ones taken before."""
        if not records:
            return
        if records[0].offset < self._end:
            raise OnefactError(f"{self._table.topic}:{self._partition}: {records[0].offset} was taken before")
        made = rows.to_table(records)
        self._schemas |= _schema_ids(records)
        if not self._waiting:
            self._since = time.monotonic()
            self._share.join()
        self._waiting.append(made)
        self._bytes += made.nbytes
        self._end = records[-1].offset + 1

    def flush(self) -> int:
        """Commit what waits: the schemas it needs, the file, then the table's commit. The number of records.

        Where no record waits the file has none, and says by its name that there were none.
        """
        if not self.waits:
            return 0
        import pyarrow as pa

        together = pa.concat_tables(self._waiting) if self._waiting else rows.to_table([])
        with self._share.writing:
            data = rows.to_file(together, self._table.topic, self._partition, self._begin, self._end)
        segment = Segment(
            topic=self._table.topic,
            partition=self._partition,
            begin=self._begin,
            end=self._end,
            tier="warm",
            digest=rows.digest_of(data),
            size=len(data),
            records=together.num_rows,
            written_ms=int(time.time() * 1000),
        )
        self._before_commit(self._schemas)
        self._objects.put(segment.key, data)
        self._commit(segment)
        self._committed = self._end
        self._clear(self._end)
        return segment.records

    def _commit(self, segment: Segment) -> None:
        try:
            self._table.append(segment, self._committed)
        except Fenced:
            # A commit whose answer was lost looks the same, when it is tried again: then the file is there.
            self._table.forget()
            if segment.path not in {each.path for each in self._table.segments()}:
                self._forget()
                raise


def _schema_ids(records: Sequence[Record]) -> set[int]:
    """Ids that the values name, in Confluent's wire format."""
    heads = {value[:5] for record in records if (value := record.value) is not None and len(value) >= 5}
    return {int.from_bytes(head[1:], "big") for head in heads if head[0] == 0}
