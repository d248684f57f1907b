"""SQL over the archive: a table for each type of message, its fields as columns, decoded by the archived schemas.

Every table has, beside the fields, `_topic`, `_partition`, `_offset`, `_timestamp` (the broker's), `_time` (when it
happened), `_id`, `_stream` and `_version`. Only what a query names is read. `archive_files` lists the files.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from eventlog.archive import meta, rows
from eventlog.archive.objects import Objects, require_extra
from eventlog.archive.past import Past
from eventlog.archive.table import Segment
from eventlog.codec import Codec
from eventlog.digest import plain
from eventlog.envelope import Record, metas_of, read_meta
from eventlog.errors import BadInput, Poison, Superseded
from eventlog.message import Message
from eventlog.roles import Catalog
from eventlog.schema import avro_schema
from eventlog.topics import Topic

if TYPE_CHECKING:
    import pyarrow as pa

FILES = "archive_files"


class Answer(NamedTuple):
    """Of a query."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    records: int
    """That were decoded for it."""


class ArchivedSchemas:
    """The registry as the archive knows it: no service is asked."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._given = 2**32

    def register(self, subject: str, text: str) -> int:  # noqa: ARG002 - nothing is written: any free id does
        self._given -= 1
        return self._given

    def lookup(self, schema_id: int) -> str | None:
        return meta.schema_of(self._objects, schema_id)


def query(objects: Objects, catalog: Catalog, text: str) -> Answer:
    """Answer one query; raises `BadInput` with what is wrong with it."""
    require_extra("duckdb")
    import duckdb

    with tempfile.TemporaryDirectory(prefix="onefact-sql-") as folder, duckdb.connect(f"{folder}/sql.db") as database:
        try:
            named = {name.rpartition(".")[2].strip('"') for name in database.get_table_names(text)}
            tables = _Tables(objects, catalog, database)
            for name in sorted(named):
                tables.make(name)
            done = database.execute(text)
            found = [tuple(plain(value) for value in row) for row in done.fetchall()]
            return Answer([column[0] for column in done.description or ()], found, tables.records)
        except duckdb.Error as error:
            raise BadInput(str(error)) from None


class _Tables:
    """Tables of a query, made from the archive."""

    def __init__(self, objects: Objects, catalog: Catalog, database: Any) -> None:
        self._database = database
        self._past = Past(objects.settings)
        self._codec = Codec(ArchivedSchemas(objects), catalog.message_types, catalog.upcasters)
        self._carried: dict[str, tuple[type[Message], list[Topic]]] = {}
        self._topics = catalog.archiver.sources
        for topic in self._topics:
            for cls in topic.types:
                self._carried.setdefault(cls.__name__.lower(), (cls, []))[1].append(topic)
        self.records = 0

    def make(self, name: str) -> None:
        if name.lower() == FILES:
            self._insert(FILES, _files_of(self._segments(self._topics)))
        elif name.lower() in self._carried:
            cls, topics = self._carried[name.lower()]
            schema = _columns(cls)
            self._insert(cls.__name__, schema.empty_table())
            for topic in topics:
                for partition, batch in self._rows(topic):
                    self._insert(cls.__name__, self._decoded(cls, topic, partition, batch, schema))
        # What is neither, the query will say itself: it may be a common table expression.

    def _insert(self, name: str, table: pa.Table) -> None:
        self._database.register("piece", table)
        self._database.execute(f'CREATE TABLE IF NOT EXISTS "{name}" AS FROM piece LIMIT 0')
        self._database.execute(f'INSERT INTO "{name}" FROM piece')
        self._database.unregister("piece")

    def _segments(self, topics: Sequence[Topic]) -> Iterator[Segment]:
        for topic in topics:
            for partition in self._past.partitions(topic.name):
                yield from self._past.segments(topic.name, partition)

    def _rows(self, topic: Topic) -> Iterator[tuple[int, pa.RecordBatch]]:
        """All that is archived of a topic, by partition, read as everybody reads it: a row group at a time."""
        for partition in self._past.partitions(topic.name):
            for span in self._past.spans(topic.name, partition, over_gaps=topic.retention is None):
                for batch, _ in self._past.pieces(topic.name, partition, *span):
                    if batch is not None:
                        yield partition, batch

    def _decoded(
        self, cls: type[Message], topic: Topic, partition: int, batch: pa.RecordBatch, schema: pa.Schema
    ) -> pa.Table:
        import pyarrow as pa

        table = pa.Table.from_batches([batch])
        self._codec.learn_all(_heads(table))
        decode = self._codec.decoder(topic, {cls})
        found: list[dict[str, Any]] = []
        for record in rows.to_records(table, topic.name, partition):
            self.records += 1
            found += _read(decode, cls, record)
        return pa.Table.from_pylist(found, schema=schema)


def _heads(table: pa.Table) -> set[bytes | None]:
    """One value of each schema."""
    heads: dict[bytes, bytes] = {}
    for value in table.column("value").to_pylist():
        if value:
            heads.setdefault(value[:5], value)
    return set(heads.values())


def _read(decode: Any, cls: type[Message], record: Record) -> Iterator[dict[str, Any]]:
    """The record as rows: one, none where it is of another type or cannot be read, several where it was split."""
    try:
        try:
            message = decode(record.value)
            if message is None:
                return
            messages: Sequence[Message] = (message,)
        except Superseded as old:
            messages = [each for each in old.messages if type(each) is cls]
        for message, own in metas_of(read_meta(record), messages):
            fields = {name: getattr(message, name) for name in cls.__struct_fields__}
            yield {name: _flat(value) for name, value in fields.items()} | {
                "_topic": record.topic,
                "_partition": record.partition,
                "_offset": record.offset,
                "_timestamp": record.timestamp * 1000,
                "_time": own.time,
                "_id": own.id,
                "_stream": own.stream,
                "_version": own.version,
            }
    except Poison:
        return


def _flat(value: Any) -> Any:
    return json.dumps(plain(value), ensure_ascii=False) if isinstance(value, list | tuple | dict) else value


def _columns(cls: type[Message]) -> pa.Schema:
    import pyarrow as pa

    fields = [pa.field(each["name"], _type_of(each["type"])) for each in avro_schema(cls)["fields"]]
    stamp = pa.timestamp("us", "UTC")
    own = [
        ("_topic", pa.string()), ("_partition", pa.int32()), ("_offset", pa.int64()), ("_timestamp", stamp),
        ("_time", stamp), ("_id", pa.string()), ("_stream", pa.string()), ("_version", pa.int64()),
    ]  # fmt: skip
    return pa.schema([*fields, *(pa.field(name, kind) for name, kind in own)])


def _type_of(avro: Any) -> Any:
    """DuckDB's numbers have 38 digits at the most; what is made of parts is JSON text."""
    import pyarrow as pa

    if isinstance(avro, list):
        return _type_of(next(branch for branch in avro if branch != "null"))
    simple: Mapping[str, Any] = {
        "string": pa.string(), "long": pa.int64(), "int": pa.int64(), "boolean": pa.bool_(), "double": pa.float64(),
    }  # fmt: skip
    if isinstance(avro, dict):
        match avro.get("logicalType"):
            case "decimal":
                return pa.decimal128(min(38, avro["precision"]), avro["scale"])
            case "timestamp-micros":
                return pa.timestamp("us", "UTC")
        return simple.get(avro["type"], pa.string()) if isinstance(avro["type"], str) else pa.string()
    return simple.get(avro, pa.string())


def _files_of(segments: Iterator[Segment]) -> pa.Table:
    import pyarrow as pa

    names = ("topic", "partition", "begin", "end", "tier", "records", "size", "digest", "key")
    kinds = (pa.string(), pa.int32(), pa.int64(), pa.int64(), pa.string(), pa.int64(), pa.int64(), *[pa.string()] * 2)
    schema = pa.schema([pa.field(name, kind) for name, kind in zip(names, kinds, strict=True)])
    return pa.Table.from_pylist([{name: getattr(each, name) for name in names} for each in segments], schema=schema)
