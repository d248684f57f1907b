"""Many small files of a partition become a large one: the same records in the same order, harder compressed.

The order in which nothing can be lost or doubled, wherever it is killed: the new file is written, read back and held
against its sources record by record; one commit puts it in their place; what it replaced is removed after that. What a
killed run leaves is either in the table, or nothing.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from eventlog.archive import frozen, rows
from eventlog.archive.objects import Objects, StorageClass
from eventlog.archive.past import Damaged, Past, fetch
from eventlog.archive.table import ROOT, TIERS, Segment, Table
from eventlog.errors import NotFound, OnefactError

if TYPE_CHECKING:
    import pyarrow as pa

FILE_BYTES_MAX = 256 * 1024 * 1024
"""Of sources together: a compacted file is no larger."""
FILES_MIN = 2
DAY_MS = 24 * 3600 * 1000
ORPHAN_AGE_S = 24 * 3600.0
"""So old is a file that no commit names, before it counts as left behind: its writer may be about to commit it."""
ROW_GROUP_BYTES = 64 * 1024 * 1024
"""In memory: where records are large a row group has fewer."""
READ_BYTES = 8 * 1024 * 1024


class NotTheSame(OnefactError):
    """What was written is not what it was made from; nothing was replaced."""


@dataclass(frozen=True)
class Compacted:
    """What became of some files."""

    sources: tuple[Segment, ...]
    made: Segment


def day_of(segment: Segment) -> int:
    """The day, in UTC, on which the youngest of its records was archived."""
    return segment.written_ms // DAY_MS


def runs(
    segments: Sequence[Segment],
    bytes_max: int = FILE_BYTES_MAX,
    *,
    today: int | None = None,
    waiting: Container[int] = (),
) -> Iterator[tuple[Segment, ...]]:
    """Warm files of one partition that follow each other and were archived on one day, together one cold file.

    Of a day that others are `waiting` for only what fills a file. Of a day before `today` nothing more comes: even a
    single file is one.
    """
    for run, full in _gathered(segments, bytes_max):
        day = day_of(run[0])
        if day in waiting and not full:
            continue
        if len(run) >= FILES_MIN or (today is not None and day < today):
            yield run


def _gathered(segments: Sequence[Segment], bytes_max: int) -> Iterator[tuple[tuple[Segment, ...], bool]]:
    """Files that may be one, and whether there was no room for the next."""
    run: list[Segment] = []
    for segment in segments:
        follows = run and segment.tier == "warm" and run[-1].end == segment.begin and day_of(run[0]) == day_of(segment)
        full = sum(each.size for each in run) + segment.size > bytes_max
        if follows and not full:
            run.append(segment)
            continue
        if run:
            yield tuple(run), bool(follows)
        run = [segment] if segment.tier == "warm" else []
    if run:
        yield tuple(run), False


def compact(
    objects: Objects,
    table: Table,
    sources: Sequence[Segment],
    storage_class: StorageClass = "STANDARD",
    *,
    latest: bool = False,
) -> Compacted:
    """Put one file in the place of these, which follow each other in one partition; of state, with the `latest` record
    of each key alone.

    Raises `NotTheSame`, `Damaged` (a source is), `Fenced` (one was replaced meanwhile), `RangeFrozen` (one would have
    to be restored first, and nothing says that readers may ask for that); then nothing has changed.
    """
    Past(objects.settings).have_readable(sources)
    with tempfile.TemporaryDirectory(prefix="onefact-compact-") as folder:
        path = Path(folder) / "made.parquet"
        try:
            kept = latest_of(objects, sources) if latest else None
            _write(objects, sources, path, kept)
        except Damaged:
            table.require_there(sources)  # they are missing because another one has replaced them
            raise
        made = Segment(
            topic=sources[0].topic,
            partition=sources[0].partition,
            begin=sources[0].begin,
            end=sources[-1].end,
            tier="cold",
            digest=_digest(path),
            size=path.stat().st_size,
            records=sum(source.records for source in sources) if kept is None else len(kept),
            written_ms=max(source.written_ms for source in sources),
        )
        objects.put_file(made.key, path, storage_class)
        back = Path(folder) / "back.parquet"
        objects.get_file(made.key, back)
        require_same(objects, sources, made, back, kept)
    table.replace(sources, [made], "compacted", fewer=latest)
    return Compacted(tuple(sources), made)


def latest_of(objects: Objects, sources: Sequence[Segment]) -> set[int]:
    """Offsets of the last record of each key, and of those that have none."""
    last: dict[bytes, int] = {}
    kept: set[int] = set()
    for source in sources:
        for batch in rows.batches_from(fetch(objects, source), source.begin, source.end, columns=["offset", "key"]):
            for offset, key in zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True):
                if key is None:
                    kept.add(offset)
                else:
                    last[key] = offset
    return kept | set(last.values())


def _rows_of(objects: Objects, source: Segment, kept: set[int] | None) -> Iterator[pa.Table]:
    """What of a file is to stay, by row groups."""
    import pyarrow as pa

    for batch in rows.batches_from(fetch(objects, source), source.begin, source.end):
        table = pa.Table.from_batches([batch])
        if kept is not None:
            table = table.filter([offset in kept for offset in table.column("offset").to_pylist()]).combine_chunks()
        yield table


def _write(objects: Objects, sources: Sequence[Segment], path: Path, kept: set[int] | None = None) -> None:
    import pyarrow as pa

    waiting: list[pa.Table] = []
    with rows.writer(path, sources[0].topic, sources[0].partition, sources[0].begin, sources[-1].end) as file:
        for source in sources:
            for table in _rows_of(objects, source, kept):
                waiting.append(table)
                if (
                    sum(each.num_rows for each in waiting) >= rows.ROW_GROUP_RECORDS
                    or sum(each.nbytes for each in waiting) >= ROW_GROUP_BYTES
                ):
                    file.write_table(pa.concat_tables(waiting), row_group_size=rows.ROW_GROUP_RECORDS)
                    waiting = []
        if waiting:
            file.write_table(pa.concat_tables(waiting), row_group_size=rows.ROW_GROUP_RECORDS)


def require_same(
    objects: Objects, sources: Sequence[Segment], made: Segment, back: Path, kept: set[int] | None = None
) -> None:
    """Hold what the store gives back against the sources; raises `NotTheSame` naming the offsets."""
    import pyarrow.parquet as pq

    if _digest(back) != made.digest:
        raise NotTheSame(f"{made.span}: the store gives back something else than was written to {made.path}")
    with pq.ParquetFile(back) as file:
        batches = file.iter_batches(batch_size=rows.ROW_GROUP_RECORDS, use_threads=False)
        following = _Rows(batches)
        for source in sources:
            for before in _rows_of(objects, source, kept):
                if not following.take(before.num_rows).equals(before):
                    raise NotTheSame(f"{source.span}: {made.path} does not hold what {source.path} holds")
        if not following.at_end():
            raise NotTheSame(f"{made.span}: {made.path} holds more than its sources")


class _Rows:
    """Rows of a file in pieces of any size."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches
        self._left: list[pa.RecordBatch] = []

    def take(self, count: int) -> pa.Table:
        """The next rows, fewer at the end."""
        import pyarrow as pa

        taken: list[pa.RecordBatch] = []
        while count > 0:
            batch = self._left.pop() if self._left else next(self._batches, None)
            if batch is None:
                break
            if batch.num_rows > count:
                self._left.append(batch.slice(count))
                batch = batch.slice(0, count)
            taken.append(batch)
            count -= batch.num_rows
        return pa.Table.from_batches(taken, schema=rows.schema()).combine_chunks()

    def at_end(self) -> bool:
        return not self._left and next(self._batches, None) is None


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            digest.update(piece)
    return digest.hexdigest()


@dataclass(frozen=True)
class Swept:
    """Up to where a topic was swept; it lies beside the table, and where it is lost more is read again."""

    version: int
    """Of the table: what was replaced up to it is gone."""
    looked_ms: int
    """When its files were looked at last."""

    @classmethod
    def of(cls, objects: Objects, topic: str) -> Swept:
        try:
            return cls(**json.loads(objects.get(_swept_key(topic))))
        except NotFound:
            return cls(-1, 0)

    def keep(self, objects: Objects, topic: str) -> None:
        objects.put(_swept_key(topic), json.dumps(asdict(self)).encode())


def _swept_key(topic: str) -> str:
    return f"{ROOT}/{topic}/_swept.json"


def to_sweep(objects: Objects, table: Table) -> bool:
    """Whether something was replaced since the topic was swept, or nobody looked for what was left behind for long.

    Only commits that came since are read.
    """
    swept, now_ms = Swept.of(objects, table.topic), int(time.time() * 1000)
    if now_ms >= swept.looked_ms + ORPHAN_AGE_S * 1000:
        return True
    version = table.version()
    if version > swept.version:
        if table.replaced(swept.version):
            return True
        Swept(version, swept.looked_ms).keep(objects, table.topic)
    return False


def sweep(
    objects: Objects,
    table: Table,
    *,
    orphan_age_s: float = ORPHAN_AGE_S,
    before: Callable[[Sequence[Segment], Segment], None] = lambda *_: None,
) -> list[str]:
    """Remove files that the table does not name: those that were replaced, and what a killed writer left long ago.

    `before(sources, made)` is called once for each compaction some of whose sources are still there. The keys that were
    removed.
    """
    swept, version, now_ms = Swept.of(objects, table.topic), table.version(), int(time.time() * 1000)
    # The files first: one that is committed in between is in the table that is looked at after them.
    there = [found for tier in TIERS for found in objects.ages(f"{ROOT}/{table.topic}/{tier}/")]
    named = {segment.key for segment in table.segments()}
    compactions = table.replaced(swept.version)
    left = {key for key, _ in there} - named
    for sources, made in compactions:
        if left & {source.key for source in sources}:
            before(sources, made)
    replaced = {source.key for sources, _ in compactions for source in sources}
    removed = []
    for key, age_s in there:
        if key in named:
            continue
        if key in replaced or (age_s >= orphan_age_s and objects.age_s(key) >= orphan_age_s):
            objects.delete(key)
            if "/frozen/" in key:
                frozen.forget(objects, key)
            removed.append(key)
    Swept(version, now_ms).keep(objects, table.topic)
    table.drop_commits()  # what was replaced in them is gone, and was told
    return removed
