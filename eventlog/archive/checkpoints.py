"""Read models as they were at points of the log: checkpoints, so that no fold has to begin at the beginning.

A checkpoint has the position vector it stands at, and rows as the fold in memory keeps them. Number n holds, whole, the
rows that changed since number n minus its lowest bit: a row at n is in the first of n, n without its lowest bit, and
so on down to 0, that has it. These are at most log2(n) files, and a row that changed is written again at most so
often. Rows are spread over Parquet files by the first column of their key: reading one key takes one file of each.

Everything is below the fold that made it: another fold's checkpoints are no use to anybody. A file's name is its
digest; what there is stands in the newest index, which is whole in itself.
"""

from __future__ import annotations

import json
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from eventlog import decimals
from eventlog.archive.objects import ExtraMissing, Objects
from eventlog.archive.rows import digest_of
from eventlog.errors import NotFound, OnefactError
from eventlog.models import ENTRIES, Feed, Key, Model, Value, column_type
from eventlog.sink import Progress

if TYPE_CHECKING:
    import pyarrow as pa

ROOT = "archive/models"
BUCKET_ROWS = 20_000
"""Of one file, about."""
LEVEL = 3
"""Of zstd."""
FILES_KEPT = 64
"""Of those read last: a merge takes them up by turns, and one key is asked for again and again."""
INDEXES_KEPT = 3
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Kept = dict[str, Any]
"""A row as `MemoryRows.kept` gives it."""


class Damaged(OnefactError):
    """A file of a checkpoint is missing or altered."""


@dataclass(frozen=True)
class Checkpoint:
    """Where one stands, and what is known of the facts before it; places are `topic:partition`."""

    number: int
    next: dict[str, int]
    """Offsets that it does not have yet."""
    latest: dict[str, int]
    """Microseconds since 1970 of the latest fact before it, of each place that has any."""
    earliest: dict[str, int]
    """Of the earliest fact since the checkpoint before."""
    files: list[str]
    """By bucket: the digest of its file, empty where it has no rows."""
    rows: int


@dataclass
class Index:
    """Every checkpoint of one fold, oldest first."""

    topics: dict[str, str] = field(default_factory=dict)
    """Kafka's own ids: a topic that is made again is another log."""
    owned: bool = True
    """So far every fact changed only rows whose key begins with the fact's own key."""
    checkpoints: list[Checkpoint] = field(default_factory=list)


def micros(time: datetime) -> int:
    """Since 1970."""
    return (time - EPOCH) // timedelta(microseconds=1)


def place_name(topic: str, partition: int) -> str:
    return f"{topic}:{partition}"


def progress_of(checkpoint: Checkpoint) -> Progress:
    """Next offset by (topic, partition)."""
    return {(name.rpartition(":")[0], int(name.rpartition(":")[2])): n for name, n in checkpoint.next.items()}


def chain(number: int, down_to: int = 0) -> Iterator[int]:
    """The checkpoints that have the rows of one, newest first."""
    while number > down_to:
        yield number
        number &= number - 1


class Checkpoints:
    """Of one model under one fold; used from any thread. Raises `ServiceAway`, `Damaged`."""

    def __init__(self, objects: Objects, model: Model, fold: str) -> None:
        self._objects = objects
        self._model = model
        self._base = f"{ROOT}/{model.name}"
        self._prefix = f"{self._base}/{fold}"
        self._lock = threading.Lock()
        self._files: OrderedDict[str, Any] = OrderedDict()
        self._newest = ("", Index())

    def index(self) -> Index:
        """What there is now; empty where nothing is."""
        try:
            name = max((key for key, _ in self._objects.keys(f"{self._prefix}/index-")), default=None)
        except NotFound:  # there is not even a bucket
            name = None
        if name is None:
            return Index()
        with self._lock:
            if self._newest[0] == name:
                return self._newest[1]
        try:
            found = json.loads(self._objects.get(name))
        except NotFound:  # a newer one has come, and this one went
            return self.index()
        index = Index(found["topics"], found["owned"], [Checkpoint(**each) for each in found["checkpoints"]])
        with self._lock:
            self._newest = (name, index)
        return index

    def rows(self, index: Index, number: int, first: Value) -> dict[Key, Kept]:
        """Rows at a checkpoint whose key begins so."""
        import pyarrow.compute as pc

        wanted, found = _packed(first), dict[bytes, bytes | None]()
        for each in chain(number):
            files = index.checkpoints[each - 1].files
            if files and (digest := files[_bucket(wanted, len(files))]):
                table = self._file(digest)
                table = table.filter(pc.equal(table.column("first"), wanted))
                for key, row in zip(table.column("key").to_pylist(), table.column("row").to_pylist(), strict=True):
                    found.setdefault(key, row)
        return {self._key(key): self._row(row) for key, row in found.items() if row is not None}

    def every_row(self, index: Index, number: int) -> Iterator[tuple[Key, Kept]]:
        """All rows at a checkpoint, a file's worth of each in memory at a time."""
        if number == 0:
            return
        members = list(chain(number))
        buckets = max(max(1, len(index.checkpoints[each - 1].files)) for each in members)
        for bucket in range(buckets):
            for key, row in self._merged(index, members, bucket, buckets).items():
                if row is not None:
                    yield self._key(key), self._row(row)

    def rows_of(self, index: Index, number: int, keys: set[Key]) -> Iterator[tuple[Key, Kept]]:
        """Those of the keys that have a row at a checkpoint."""
        wanted = {self._packed_key(key): key for key in keys}
        left = set(wanted)
        for each in chain(number):
            files = index.checkpoints[each - 1].files
            there = {_bucket(_first_of(wanted[key]), len(files)) for key in left} if files else ()
            for digest in {files[bucket] for bucket in there if files[bucket]}:
                table = self._file(digest)
                for key, row in zip(table.column("key").to_pylist(), table.column("row").to_pylist(), strict=True):
                    if key in left:
                        left.discard(key)
                        if row is not None:
                            yield wanted[key], self._row(row)
            if not left:
                return

    def add(
        self, index: Index, made: Checkpoint, changed: Mapping[Key, Kept | None], topics: dict[str, str], owned: bool
    ) -> Index:
        """Write the next checkpoint: rows that changed since the one before; None for those that are gone."""
        number = len(index.checkpoints) + 1
        assert made.number == number
        since = number & (number - 1)
        members = list(chain(number - 1, since))
        total = len(changed) + sum(index.checkpoints[each - 1].rows for each in members)
        buckets = 1 << max(0, (total // BUCKET_ROWS).bit_length())
        fresh: list[dict[bytes, bytes | None]] = [{} for _ in range(buckets)]
        for key, row in changed.items():
            fresh[_bucket(_first_of(key), buckets)][self._packed_key(key)] = None if row is None else self._kept(row)
        files, rows = [], 0
        for bucket, own in enumerate(fresh):
            merged = {**self._merged(index, members, bucket, buckets), **own}
            if since == 0:
                merged = {key: row for key, row in merged.items() if row is not None}
            rows += len(merged)
            files.append(self._write(merged) if merged else "")
        whole = Checkpoint(**{**asdict(made), "files": files, "rows": rows})
        grown = Index(topics, index.owned and owned, [*index.checkpoints, whole])
        self._objects.put(f"{self._prefix}/index-{number:08d}.json", json.dumps(asdict(grown)).encode())
        if number > INDEXES_KEPT:
            self._objects.delete(f"{self._prefix}/index-{number - INDEXES_KEPT:08d}.json")
        return grown

    def remove(self, *, others: bool) -> int:
        """Remove all of this fold, or those of all `others`; the number of objects. Nothing is lost but time."""
        self._objects.have_bucket()
        removed = 0
        prefix = f"{self._base}/" if others else f"{self._prefix}/"
        # The indexes first: what they name must be there.
        for key in sorted((key for key, _ in self._objects.keys(prefix)), key=lambda key: "/index-" not in key):
            if not (others and key.startswith(f"{self._prefix}/")):
                self._objects.delete(key)
                removed += 1
        return removed

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
                    if not larger or _bucket(first, buckets) == bucket:
                        found.setdefault(key, row)
        return found

    def _write(self, rows: Mapping[bytes, bytes | None]) -> str:
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError:
            raise ExtraMissing("the archive's libraries are missing: pip install 'onefact[archive]'") from None
        keys = sorted(rows)
        table = pa.table(
            {
                "first": pa.array([_packed(msgspec.msgpack.decode(key)[0]) for key in keys], pa.binary()),
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

        with self._lock:
            if (kept := self._files.get(digest)) is not None:
                self._files.move_to_end(digest)
                return kept
        again = f"`onefact checkpoint {self._model.name} --fresh` writes them anew"
        try:
            data = self._objects.get(self._path(digest))
        except NotFound:
            raise Damaged(f"a checkpoint of {self._model.name} lacks the file {self._path(digest)}; {again}") from None
        if digest_of(data) != digest:
            raise Damaged(f"a checkpoint of {self._model.name}: {self._path(digest)} was altered; {again}")
        table = pq.read_table(pa.BufferReader(data), use_threads=False)
        with self._lock:
            self._files[digest] = table
            while len(self._files) > FILES_KEPT:
                self._files.popitem(last=False)
        return table

    def _packed_key(self, key: Key) -> bytes:
        return msgspec.msgpack.encode([_plain(value) for value in key])

    def _key(self, packed: bytes) -> Key:
        values = msgspec.msgpack.decode(packed)
        kinds = (self._model.columns[column] for column in self._model.key)
        return tuple(_value(value, kind) for value, kind in zip(values, kinds, strict=True))

    def _kept(self, row: Kept) -> bytes:
        return msgspec.msgpack.encode({name: _cell(value) for name, value in row.items()})

    def _row(self, packed: bytes) -> Kept:
        model = self._model
        row: Kept = msgspec.msgpack.decode(packed)
        for name, value in row.items():
            if isinstance(model, Feed) and name == ENTRIES:
                row[name] = [(at, _values(model, entry)) for at, entry in value]
            elif name in model.key or not isinstance(model, Feed):
                row[name] = _value(value, model.columns[name] if name in model.columns else column_type(model, name))
        return row


def _values(model: Feed, entry: dict[str, Any]) -> dict[str, Any]:
    return {name: _value(value, model.entry[name]) for name, value in entry.items()}


def _cell(value: Any) -> Any:
    # Of feeds: (when it was appended, columns) each.
    return (
        [(at, {n: _plain(v) for n, v in entry.items()}) for at, entry in value]
        if isinstance(value, list)
        else _plain(value)
    )


def _plain(value: Any) -> Any:
    """As MessagePack has it: decimals as text, times as its own."""
    return decimals.text(value) if isinstance(value, Decimal) else value


def _value(value: Any, kind: str) -> Any:
    return Decimal(value) if kind == "decimal" and isinstance(value, str) else value


def _packed(first: Value) -> bytes:
    return msgspec.msgpack.encode(_plain(first))


def _first_of(key: Key) -> bytes:
    return _packed(key[0])


def _bucket(first: bytes, buckets: int) -> int:
    """Of a power of two, so that a bucket of fewer has whole buckets of more."""
    return zlib.crc32(first) & (buckets - 1)
