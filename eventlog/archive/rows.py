"""Records as rows of a file, and back: byte for byte, whatever is in them.

Columns: `offset`, `timestamp` (ms), `timestamp_type` (0 the producer's, 1 the broker's), `key`, `value`, `headers` (a
list of name and value, both as bytes). The topic is the table's; the partition is the file's, in its name.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eventlog.envelope import Record

if TYPE_CHECKING:
    import pyarrow as pa

LEVEL_WARM, LEVEL_COLD = 3, 12
"""Of zstd: quick while facts come in, small where they stay."""
ROW_GROUP_RECORDS = 64 * 1024
PYTHON_RECORDS = 2_000
"""Rows that become Python's objects at a time: with a row group's headers at once they cost twice as much each."""
_NAMES = "headers.list.element.name"
_NAMES_OF_BYTES = "surrogateescape"
"""How the clients here give header names that are not UTF-8; the archive has their bytes."""


def schema() -> pa.Schema:
    """Of the files: what a record is."""
    import pyarrow as pa

    header = pa.struct([pa.field("name", pa.binary()), pa.field("value", pa.binary())])
    return pa.schema(
        [
            pa.field("offset", pa.int64()),
            pa.field("timestamp", pa.int64()),
            pa.field("timestamp_type", pa.int32()),
            pa.field("key", pa.binary()),
            pa.field("value", pa.binary()),
            pa.field("headers", pa.list_(header)),
        ]
    )


def to_table(records: Sequence[Record]) -> pa.Table:
    """Records of one partition as rows."""
    import pyarrow as pa

    headers = [record.headers for record in records]
    ends = pa.array(list(itertools.accumulate(map(len, headers), initial=0)), pa.int32())
    flat = list(itertools.chain.from_iterable(headers))
    values = pa.array([value for _, value in flat], pa.binary())
    pairs = pa.StructArray.from_arrays([_names([name for name, _ in flat]), values], names=["name", "value"])
    return pa.Table.from_arrays(
        [
            pa.array([record.offset for record in records], pa.int64()),
            pa.array([record.timestamp for record in records], pa.int64()),
            pa.array([record.timestamp_type for record in records], pa.int32()),
            pa.array([record.key for record in records], pa.binary()),
            pa.array([record.value for record in records], pa.binary()),
            pa.ListArray.from_arrays(ends, pairs),
        ],
        schema=schema(),
    )


def _names(names: list[str]) -> Any:
    import pyarrow as pa

    try:
        return pa.array(names, pa.string()).cast(pa.binary())  # the same bytes, without a look at each in Python
    except UnicodeEncodeError:
        return pa.array([name.encode(errors=_NAMES_OF_BYTES) for name in names], pa.binary())


def to_records(rows: pa.Table, topic: str, partition: int) -> Iterator[Record]:
    """The records that the rows were made of."""
    for batch in rows.to_batches(max_chunksize=PYTHON_RECORDS):
        offsets, stamps, kinds, keys, values = (batch.column(index).to_pylist() for index in range(5))
        headers = headers_of(batch.column(5))
        for row, offset in enumerate(offsets):
            yield Record(
                topic, partition, offset, stamps[row], keys[row], values[row], headers[row], kinds[row]
            )  # fmt: skip


def headers_of(column: pa.ListArray) -> list[list[tuple[str, bytes | None]]]:
    """The headers of each record, names as text; of rows whose names are indices or not."""
    ends = column.offsets.to_pylist()
    pairs = column.flatten()
    first = ends[0]
    names = pairs.field("name")
    if not hasattr(names, "dictionary"):
        names = names.dictionary_encode()
    known = [name.decode(errors=_NAMES_OF_BYTES) for name in names.dictionary.to_pylist()]
    flat = list(
        zip([known[index] for index in names.indices.to_pylist()], pairs.field("value").to_pylist(), strict=True)
    )
    return [flat[begin - first : end - first] for begin, end in itertools.pairwise(ends)]


def writer(path: Path, topic: str, partition: int, begin: int, end: int, level: int = LEVEL_COLD) -> Any:
    """A file that grows by row groups; a context manager with `write_table`."""
    import pyarrow.parquet as pq

    return pq.ParquetWriter(path, _described(topic, partition, begin, end), **_options(level))


def _options(level: int) -> dict[str, Any]:
    return {
        "compression": "zstd",
        "compression_level": level,
        "use_dictionary": [_NAMES],
        "column_encoding": {"offset": "DELTA_BINARY_PACKED", "timestamp": "DELTA_BINARY_PACKED"},
        "write_statistics": ["offset", "timestamp"],
    }


def _described(topic: str, partition: int, begin: int, end: int) -> pa.Schema:
    span = {"topic": topic, "partition": partition, "begin": begin, "end": end}
    return schema().with_metadata({"onefact": json.dumps(span)})


def to_file(rows: pa.Table, topic: str, partition: int, begin: int, end: int, level: int = LEVEL_WARM) -> bytes:
    """A Parquet file of the rows, which says of itself which range of the log it is."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(
        rows.cast(_described(topic, partition, begin, end)),
        sink,
        row_group_size=ROW_GROUP_RECORDS,
        **_options(level),
    )
    data: bytes = sink.getvalue().to_pybytes()
    return data


def from_file(data: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """Rows of a file; all columns, or some."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    # Not `read_table`: what it does to look for more files takes longer than the columns of a small one.
    return pq.ParquetFile(pa.BufferReader(data)).read(columns=columns, use_threads=False)


def batches_from(
    data: bytes, begin: int, end: int, columns: Sequence[str] | None = None, *, indexed: bool = False
) -> Iterator[pa.RecordBatch]:
    """Rows of a file whose offsets are from `begin` to before `end`, by row groups: one of them is in memory.

    Of `columns`, if it is only some, the first is `offset`. `indexed` leaves the names of headers as the file has them,
    indices of the few that there are: not the type of `schema`, and read in two thirds of the time.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(pa.BufferReader(data), read_dictionary=[_NAMES] if indexed else None)
    for group in range(file.metadata.num_row_groups):
        known = file.metadata.row_group(group).column(0).statistics
        if known is not None and known.has_min_max and not (known.min < end and known.max >= begin):
            continue
        for batch in file.read_row_group(group, columns=columns, use_threads=False).to_batches():
            if (part := _within(batch, begin, end)).num_rows:
                yield part


def _within(batch: pa.RecordBatch, begin: int, end: int) -> pa.RecordBatch:
    """Cut before anything of it becomes Python's, which costs twenty times as much as a comparison here."""
    import pyarrow.compute as pc

    first, last = (pc.sum(pc.less(batch.column(0), at)).as_py() or 0 for at in (begin, end))
    return batch.slice(first, last - first)


def digest_of(data: bytes) -> str:
    """Of a file: SHA-256, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
