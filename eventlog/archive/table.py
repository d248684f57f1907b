"""The archive of a topic: a Delta Lake table, each commit of which carries files and the positions after them.

A file is named by the range of offsets that it covers and by its digest, so both are committed with it. The position of
a partition is the table's application transaction of that partition, in the same commit as the file: it is exactly
once, and of two archivers that began at the same position one is refused. Where a partition begins is another one: the
oldest file can tell where it begins, and not that it is the oldest.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from eventlog.archive import actions, rows
from eventlog.archive.objects import Objects
from eventlog.archive.segments import ROOT, TIERS, Segment, Tier, row_of, segment_of
from eventlog.errors import Fenced, OnefactError, ServiceAway

if TYPE_CHECKING:
    from deltalake import DeltaTable

__all__ = ["ROOT", "TIERS", "Look", "NoTable", "Segment", "Table", "Tier"]

PARTITIONED_BY = ["partition", "tier"]
CHECKPOINT_EVERY = 50
COMMITS_KEPT = "interval 30 days"
"""So long commits stay that a checkpoint of the table has made needless for readers: they say what was replaced."""
HISTORY_READ = 16
"""Commits at first, and then four times as many."""

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
"""The library's errors are trees for a terminal."""


class Look(NamedTuple):
    """A partition's archive as of one moment."""

    segments: list[Segment]
    position: int | None
    """The offset after what is archived; None where nothing is."""
    begin: int | None = None
    """Where it was committed to begin; None where nothing is, or the table was begun before that was committed."""


class NoTable(OnefactError):
    """The topic has never been archived."""


class Table:
    """The archive of one topic; used from any thread. Raises `ServiceAway`."""

    def __init__(self, objects: Objects, topic: str) -> None:
        self.topic = topic
        self._objects = objects
        self._lock = threading.Lock()
        self._table: DeltaTable | None = None

    @property
    def _uri(self) -> str:
        return f"s3://{self._objects.address.bucket}/{ROOT}/{self.topic}"

    def create(self) -> None:
        """Have the table; no error where it is there."""
        import pyarrow as pa

        with self._lock:
            if self._opened(needed=False) is not None:
                return
            fields = [pa.field("partition", pa.int32()), pa.field("tier", pa.string()), *rows.schema()]
            with _Errors(self):
                from deltalake import DeltaTable

                DeltaTable.create(
                    self._uri,
                    pa.schema(fields),
                    mode="ignore",
                    partition_by=PARTITIONED_BY,
                    name=self.topic,
                    description=f"Records of the topic {self.topic}, as Kafka had them",
                    configuration={
                        "delta.checkpointInterval": str(CHECKPOINT_EVERY),
                        "delta.logRetentionDuration": COMMITS_KEPT,
                        "delta.enableExpiredLogCleanup": "false",  # `drop_commits` does, after what they say was used
                    },
                    storage_options=self._objects.address.options(),
                )

    def segments(self) -> list[Segment]:
        """Every file, by partition and offset, as of now."""
        with self._lock:
            return self._segments(self._refreshed())

    def look(self, partition: int) -> Look:
        """One partition's archive."""
        return self.looks([partition])[partition]

    def looks(self, partitions: Iterable[int]) -> dict[int, Look]:
        """The archive of these partitions and of any that has files, all as of one moment."""
        with self._lock:
            table = self._refreshed()
            files: dict[int, list[Segment]] = {partition: [] for partition in partitions}
            for segment in self._segments(table):
                files.setdefault(segment.partition, []).append(segment)
            return {
                number: Look(its, self._position(table, number), self._transaction(table, self._begin_app(number)))
                for number, its in sorted(files.items())
            }

    def _segments(self, table: DeltaTable) -> list[Segment]:
        import pyarrow as pa

        with _Errors(self):
            found = pa.table(table.get_add_actions(flatten=True)).select(
                ["path", "size_bytes", "modification_time", "num_records"]
            )
        return sorted(segment_of(self.topic, *row.values()) for row in found.to_pylist())

    def next_offset(self, partition: int) -> int | None:
        """The offset after what is archived; None where nothing is."""
        with self._lock:
            return self._position(self._refreshed(), partition)

    def next_offsets(self, partitions: Iterable[int]) -> dict[int, int]:
        """The same of several partitions, without those that have nothing."""
        with self._lock:
            table = self._refreshed()
            found = {partition: self._position(table, partition) for partition in partitions}
        return {partition: offset for partition, offset in found.items() if offset is not None}

    def append(self, segment: Segment, expected: int | None) -> None:
        """Commit a file and the position after it.

        Raises `Fenced` where the partition's position is not `expected` any more: another archiver has it.
        """
        from deltalake import CommitProperties, Transaction

        with self._lock:
            table = self._refreshed()
            if self._position(table, segment.partition) != expected:
                raise Fenced(f"{self.topic}:{segment.partition} was archived on by another one")
            after = [Transaction(self._app(segment.partition), segment.end, segment.written_ms)]
            if expected is None:
                after.append(Transaction(self._begin_app(segment.partition), segment.begin, segment.written_ms))
            self._commit(table, [actions.add(segment, data_change=True)], CommitProperties(app_transactions=after))

    def replace(self, old: Sequence[Segment], new: Sequence[Segment], why: str, *, fewer: bool = False) -> None:
        """Commit that files hold what others held: no record comes, goes or changes; with `fewer` some may have gone.

        Raises `Fenced` where one of the old files is not in the table any more.
        """
        from deltalake import CommitProperties

        actions.require_same_ranges(old, new, fewer=fewer)
        with self._lock:
            table = self._refreshed()
            self._require_there(table, old)
            now_ms = int(time.time() * 1000)
            removed = [actions.remove(segment, now_ms, data_change=False) for segment in old]
            changes = [*(actions.add(segment, data_change=False) for segment in new), *removed]
            told = {"why": why, "replaced": [row_of(each) for each in old], "made": [row_of(each) for each in new]}
            self._commit(table, changes, CommitProperties(custom_metadata=told))

    def rewind(
        self, partition: int, gone: Sequence[Segment], kept: Sequence[Segment], expected: int, offset: int
    ) -> None:
        """Commit that a partition's archive ends before `offset`: without some files, with the heads of others.

        Raises `Fenced` where its position is not `expected` any more, or another one replaced a file that is to go.
        """
        from deltalake import CommitProperties, Transaction

        now_ms = int(time.time() * 1000)
        with self._lock:
            table = self._refreshed()
            if self._position(table, partition) != expected:
                raise Fenced(f"{self.topic}:{partition} was archived on by another one")
            self._require_there(table, gone)
            removed = [actions.remove(segment, now_ms, data_change=True) for segment in gone]
            changes = [*(actions.add(segment, data_change=True) for segment in kept), *removed]
            after = [Transaction(self._app(partition), offset, now_ms)]
            if not kept and not self._left(table, partition, gone):
                after.append(Transaction(self._begin_app(partition), offset, now_ms))
            told = {"why": "rewound", "rewound": [row_of(each) for each in gone], "offset": offset}
            self._commit(table, changes, CommitProperties(app_transactions=after, custom_metadata=told))

    def remove(self, segments: Sequence[Segment], why: str) -> None:
        """Commit that files are no data any more, and where their partitions begin now: what they hold is given up.

        Raises `Fenced` where one of them is not in the table.
        """
        from deltalake import CommitProperties, Transaction

        now_ms = int(time.time() * 1000)
        with self._lock:
            table = self._refreshed()
            self._require_there(table, segments)
            told = {"why": why, "removed": [row_of(each) for each in segments]}
            changes = [actions.remove(segment, now_ms, data_change=True) for segment in segments]
            begins = {each.partition: each.end for each in sorted(segments)}
            for partition in begins:
                if left := self._left(table, partition, segments):
                    begins[partition] = left[0].begin
            after = [Transaction(self._begin_app(number), begin, now_ms) for number, begin in begins.items()]
            self._commit(table, changes, CommitProperties(app_transactions=after, custom_metadata=told))

    def _left(self, table: DeltaTable, partition: int, gone: Sequence[Segment]) -> list[Segment]:
        """Files of a partition without some, in their order."""
        return [each for each in self._segments(table) if each.partition == partition and each not in gone]

    def require_there(self, segments: Sequence[Segment]) -> None:
        """Raise `Fenced` where one of these is not in the table."""
        with self._lock:
            self._require_there(self._refreshed(), segments)

    def _require_there(self, table: DeltaTable, segments: Sequence[Segment]) -> None:
        there = {segment.path for segment in self._segments(table)}
        if gone := [segment.path for segment in segments if segment.path not in there]:
            raise Fenced(f"{self.topic}: {gone[0]} was replaced by another one")

    def version(self) -> int:
        """Of the newest commit."""
        with self._lock, _Errors(self):
            return int(self._refreshed().version())

    def replaced(self, after: int = -1) -> list[tuple[list[Segment], Segment]]:
        """Files that were replaced, and the one in their place, in commits after a version, the newest first."""
        return [
            ([segment_of(self.topic, *each) for each in commit["replaced"]], segment_of(self.topic, *commit["made"][0]))
            for commit in self._history(lambda commit: commit["version"] > after)
            if "replaced" in commit
        ]

    def rewound(self, since_ms: int) -> list[tuple[list[Segment], int]]:
        """Files that were put aside since then, and the offset from which on, of every partition where some were."""
        return [
            ([segment_of(self.topic, *each) for each in commit["rewound"]], int(commit["offset"]))
            for commit in self._history(lambda commit: commit["timestamp"] >= since_ms)
            if "rewound" in commit
        ]

    def _history(self, wanted: Callable[[Any], bool]) -> list[Any]:
        """What was said in commits, the newest first, as far back as they are wanted; few others are read."""
        count = HISTORY_READ
        with self._lock, _Errors(self):
            table = self._refreshed()
            while True:
                version = table.version()
                found = table.history(count)
                # They are numbered back from the version, and others may have come meanwhile: a number that is too high
                # only means that an older commit is looked at, too.
                came = self._refreshed().version() - version
                found = [{**commit, "version": commit["version"] + came} for commit in found]
                if len(found) < count or not wanted(found[-1]):
                    break
                count *= 4
        return [commit for commit in found if wanted(commit)]

    def drop_commits(self) -> None:
        """Remove commits older than `COMMITS_KEPT` that a checkpoint of the table stands for.

        What they said was replaced, or rewound, nobody can be told any more.
        """
        with self._lock, _Errors(self):
            self._refreshed().cleanup_metadata()

    def _commit(self, table: DeltaTable, changes: Sequence[Any], properties: Any) -> None:
        with _Errors(self):
            table.create_write_transaction(
                list(changes),
                "append",
                table.schema(),
                partition_by=PARTITIONED_BY,
                commit_properties=properties,
            )

    def _position(self, table: DeltaTable, partition: int) -> int | None:
        return self._transaction(table, self._app(partition))

    def _transaction(self, table: DeltaTable, app: str) -> int | None:
        with _Errors(self):
            found = table.transaction_version(app)
        return None if found is None else int(found)

    def _app(self, partition: int) -> str:
        return f"{self.topic}:{partition}"

    def _begin_app(self, partition: int) -> str:
        return f"{self.topic}:{partition}:begin"

    def _refreshed(self) -> DeltaTable:
        table = self._opened(needed=True)
        assert table is not None
        with _Errors(self):
            table.update_incremental()
        return table

    def _opened(self, *, needed: bool) -> DeltaTable | None:
        if self._table is None:
            self._objects.have_bucket()
            with _Errors(self):
                from deltalake import DeltaTable
                from deltalake.exceptions import TableNotFoundError

                try:
                    self._table = DeltaTable(self._uri, storage_options=self._objects.address.options())
                except TableNotFoundError:
                    if needed:
                        raise NoTable(f"{self.topic} has never been archived") from None
        return self._table

    def forget(self) -> None:
        """After an error nothing is known of the last commit: look at the table anew."""
        with self._lock:
            self._table = None


class _Errors:
    """Errors of the table format's library in words of ours."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None or isinstance(error, OnefactError):
            return
        from deltalake.exceptions import CommitFailedError, DeltaError

        if isinstance(error, CommitFailedError) and "Concurrent transaction" in str(error):
            raise Fenced(f"{self._table.topic} was archived on by another one") from None
        if isinstance(error, DeltaError | OSError):
            self._table._table = None  # noqa: SLF001 - what it holds of the log may be behind what was committed
            reason = " ".join(_COLOURS.sub("", str(error)).split())
            raise ServiceAway(
                "s3", f"the table of {self._table.topic}: {type(error).__name__}: {reason[:300]}"
            ) from None
