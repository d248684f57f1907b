"""Rows of a read model as a Parquet file, each column with the type that the model declares."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eventlog.archive.objects import ExtraMissing
from eventlog.models import ENTRIES, ColumnType, Feed, Hash, Model, Row

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 64 * 1024
"""Of a row group, and in memory."""
DIGITS, PLACES = 38, 12
"""Of decimals: what a fact may carry. Sums may outgrow it, and are then refused."""


def write_rows(path: Path, model: Model, rows: Iterable[Row], said: Mapping[str, str]) -> int:
    """Write the rows, whole or not at all; the number of them. `said` is told in the file's own metadata."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as missing:
        raise ExtraMissing(missing.name) from None
    schema = _schema(model).with_metadata({f"onefact.{name}": value for name, value in said.items()})
    beside = path.with_name(path.name + ".new")
    count = 0
    try:
        with pq.ParquetWriter(beside, schema, compression="zstd") as writer:
            for piece in _pieces(rows):
                columns = [[_cell(row.get(name)) for row in piece] for name in model.columns]
                arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
                count += len(piece)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return count


def _pieces(rows: Iterable[Row]) -> Iterator[list[Row]]:
    there = iter(rows)
    while piece := list(itertools.islice(there, ROWS)):
        yield piece


def _schema(model: Model) -> pa.Schema:
    import pyarrow as pa

    fields = []
    maps = model.maps if isinstance(model, Hash) else {}
    for name, kind in model.columns.items():
        if isinstance(model, Feed) and name == ENTRIES:
            entry = pa.struct([pa.field(column, _type(each)) for column, each in model.entry.items()])
            fields.append(pa.field(name, pa.list_(entry)))
        elif name in maps:
            fields.append(pa.field(name, pa.map_(pa.string(), _type(maps[name]))))
        else:
            fields.append(pa.field(name, _type(kind)))
    return pa.schema(fields)


def _type(kind: ColumnType) -> pa.DataType:
    import pyarrow as pa

    return {
        "text": pa.string(),
        "integer": pa.int64(),
        "decimal": pa.decimal128(DIGITS, PLACES),
        "boolean": pa.bool_(),
        "time": pa.timestamp("us", "UTC"),
    }[kind]


def _cell(value: Any) -> Any:
    return list(value.items()) if isinstance(value, dict) else value
