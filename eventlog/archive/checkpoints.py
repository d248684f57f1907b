"""Read models as they were at points of the log: checkpoints, so that no fold has to begin at the beginning.

A checkpoint has the position vector it stands at, and rows as the fold in memory keeps them. Number n holds, whole, the
rows that changed since number n minus its lowest bit: a row at n is in the first of n, n without its lowest bit, and
so on down to 0, that has it. These are at most log2(n) files, and a row that changed is written again at most so
often. Rows are spread over Parquet files by the first column of their key: reading one key takes one file of each.

Everything is below the fold that made it: another fold's checkpoints are no use to it. A file's name is its digest;
what there is stands in the newest index. All can be made again from the log: who meets damage begins anew, and readers
fold the log meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from eventlog.archive.indexes import Checkpoint, Damaged, Index, Indexes
from eventlog.archive.objects import Objects
from eventlog.archive.packing import Kept, Packing, bucket_of, first_of, packed_first
from eventlog.archive.rows import digest_of
from eventlog.archive.unpacked import Unpacked
from eventlog.errors import NotFound
from eventlog.models import Key, Model, Value

if TYPE_CHECKING:
    import pyarrow as pa

ROOT = "archive/models"
BUCKET_ROWS = 20_000
"""Of one file, about."""
LEVEL = 3
"""Of zstd."""
OTHERS_KEPT_S = 24 * 3600.0
"""Since another fold's last run. In a rolling deploy two versions of the code are at work, each with its own."""
UNNAMED_KEPT_S = 24 * 3600.0
"""For a file that the index does not name: a run may be about to, and a reader may have an index that does."""


def chain(number: int, down_to: int = 0) -> Iterator[int]:
    """The checkpoints that have the rows of one, newest first."""
    while number > down_to:
        yield number
        number &= number - 1


class Checkpoints:
    """Of one model under one fold; used from any thread. Raises `ServiceAway`, `Damaged`."""

    def __init__(self, objects: Objects, model: Model, fold: str, unpacked: Unpacked | None = None) -> None:
        self._objects = objects
        self._model = model
        self._packing = Packing(model)
        self._base = f"{ROOT}/{model.name}"
        self._prefix = f"{self._base}/{fold}"
        self._unpacked = Unpacked() if unpacked is None else unpacked
        self._indexes = Indexes(objects, self._prefix, model.name)

    def index(self) -> Index:
        """What there is now; empty where nothing is."""
        return self._indexes.read()

    def generation(self) -> int:
        """How often all began anew."""
        return self._indexes.newest()[0]

    def taken_up(self) -> Index:
        """What a run goes on from, noted as in use: other folds leave it alone for a day.

        Removes files that are not named, a day after they were written. Raises `Damaged` where one is gone that is.
        """
        index = self.index()
        named = {self._path(digest) for digest in index.files}
        ages = dict(self._objects.ages(f"{self._prefix}/"))
        if lost := named - ages.keys():
            raise self._lost(min(lost))
        for key in ages.keys() - named - self._indexes.kept(index):
            if ages[key] > UNNAMED_KEPT_S and self._objects.age_s(key) > UNNAMED_KEPT_S:
                self._objects.delete(key)
        if index.checkpoints:
            self._indexes.touch(index)
        return index

    def begin_anew(self, generation: int) -> None:
        """Have none of this generation, nor of those before: a run that goes on with them loses its work alone.

        Their files go when they are a day old, or are written again. Nothing is lost but time.
        """
        self._objects.have_bucket()
        self._indexes.begin_anew(generation)

    def remove_others(self) -> int:
        """Remove those of other folds that had no run for a day; the number of objects."""
        self._objects.have_bucket()
        folds: dict[str, dict[str, float]] = {}
        for key, age_s in self._objects.ages(f"{self._base}/"):
            folds.setdefault(key.rpartition("/")[0], {})[key] = age_s
        folds.pop(self._prefix, None)
        old = [ages for ages in folds.values() if min(ages.values()) > OTHERS_KEPT_S]
        for ages in old:
            # The indexes first: what they name must be there.
            for key in sorted(ages, key=lambda key: "/index-" not in key):
                self._objects.delete(key)
        return sum(map(len, old))

    def rows(self, index: Index, number: int, first: Value) -> dict[Key, Kept]:
        """Rows at a checkpoint whose key begins so."""
        import pyarrow.compute as pc

        wanted, found = packed_first(first), dict[bytes, bytes | None]()
        for each in chain(number):
            files = index.checkpoints[each - 1].files
            if files and (digest := files[bucket_of(wanted, len(files))]):
                table = self._file(digest)
                table = table.filter(pc.equal(table.column("first"), wanted))
                for key, row in zip(table.column("key").to_pylist(), table.column("row").to_pylist(), strict=True):
                    found.setdefault(key, row)
        return {self._packing.key(key): self._packing.row(row) for key, row in found.items() if row is not None}

    def every_row(self, index: Index, number: int) -> Iterator[tuple[Key, Kept]]:
        """All rows at a checkpoint, a file's worth of each in memory at a time."""
        if number == 0:
            return
        members = list(chain(number))
        buckets = max(max(1, len(index.checkpoints[each - 1].files)) for each in members)
        for bucket in range(buckets):
            for key, row in self._merged(index, members, bucket, buckets).items():
                if row is not None:
                    yield self._packing.key(key), self._packing.row(row)

    def rows_of(self, index: Index, number: int, keys: set[Key]) -> Iterator[tuple[Key, Kept]]:
        """Those of the keys that have a row at a checkpoint."""
        wanted = {self._packing.packed_key(key): key for key in keys}
        left = set(wanted)
        for each in chain(number):
            files = index.checkpoints[each - 1].files
            there = {bucket_of(packed_first(wanted[key][0]), len(files)) for key in left} if files else ()
            for digest in {files[bucket] for bucket in there if files[bucket]}:
                table = self._file(digest)
                for key, row in zip(table.column("key").to_pylist(), table.column("row").to_pylist(), strict=True):
                    if key in left:
                        left.discard(key)
                        if row is not None:
                            yield wanted[key], self._packing.row(row)
            if not left:
                return

    def add(
        self, index: Index, made: Checkpoint, changed: Mapping[Key, Kept | None], topics: dict[str, str], owned: bool
    ) -> Index:
        """Write the next checkpoint: rows that changed since the one before; None for those that are gone.

        Raises `Overtaken` where the index is no more the newest one.
        """
        number = len(index.checkpoints) + 1
        assert made.number == number
        if self._indexes.newest() != index.stands:
            raise self._indexes.overtaken()
        since = number & (number - 1)
        members = list(chain(number - 1, since))
        total = len(changed) + sum(index.checkpoints[each - 1].rows for each in members)
        buckets = 1 << max(0, (total // BUCKET_ROWS).bit_length())
        fresh: list[dict[bytes, bytes | None]] = [{} for _ in range(buckets)]
        for key, row in changed.items():
            own = fresh[bucket_of(packed_first(key[0]), buckets)]
            own[self._packing.packed_key(key)] = None if row is None else self._packing.packed_row(row)
        files, rows = [], 0
        for bucket, own in enumerate(fresh):
            merged = {**self._merged(index, members, bucket, buckets), **own}
            if since == 0:
                merged = {key: row for key, row in merged.items() if row is not None}
            rows += len(merged)
            files.append(self._write(merged) if merged else "")
        whole = Checkpoint(**{**asdict(made), "files": files, "rows": rows})
        grown = Index(topics, index.owned and owned, [*index.checkpoints, whole], index.generation)
        self._indexes.add(grown)
        return grown

    def _merged(self, index: Index, members: list[int], bucket: int, buckets: int) -> dict[bytes, bytes | None]:
        """Rows of one bucket of so many, from checkpoints newest first."""
        found: dict[bytes, bytes | None] = {}
        for each in members:
            files = index.checkpoints[each - 1].files
            if not files:
                continue
            larger = len(files) < buckets  # theirs has rows of several of ours
            for digest in [files[bucket % len(files)]] if larger else files[bucket::buckets]:
                if not digest:
                    continue
                table = self._file(digest)
                columns = (table.column(name).to_pylist() for name in ("first", "key", "row"))
                for first, key, row in zip(*columns, strict=True):
                    if not larger or bucket_of(first, buckets) == bucket:
                        found.setdefault(key, row)
        return found

    def _write(self, rows: Mapping[bytes, bytes | None]) -> str:
        import pyarrow as pa
        import pyarrow.parquet as pq

        keys = sorted(rows)
        table = pa.table(
            {
                "first": pa.array([first_of(key) for key in keys], pa.binary()),
                "key": pa.array(keys, pa.binary()),
                "row": pa.array([rows[key] for key in keys], pa.binary()),
            }
        )
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd", compression_level=LEVEL)
        data: bytes = sink.getvalue().to_pybytes()
        digest = digest_of(data)
        self._objects.put(self._path(digest), data)
        return digest

    def _path(self, digest: str) -> str:
        return f"{self._prefix}/{digest}.parquet"

    def _file(self, digest: str) -> pa.Table:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if (kept := self._unpacked.get(digest)) is not None:
            return kept
        path = self._path(digest)
        try:
            data = self._objects.get(path)
        except NotFound:
            raise self._lost(path) from None
        if digest_of(data) != digest:
            again = f"`onefact checkpoint {self._model.name} --fresh` makes all anew"
            raise Damaged(f"a checkpoint of {self._model.name}: {path} was altered; {again}")
        table = pq.read_table(pa.BufferReader(data), use_threads=False)
        self._unpacked.keep(digest, table)
        return table

    def _lost(self, path: str) -> Damaged:
        return Damaged(f"a checkpoint of {self._model.name} lacks the file {path}")
