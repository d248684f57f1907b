"""The shop without services: a log, a registry and an object store in memory, and the store in memory for all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

import pytest

from eventlog.codec import Codec
from eventlog.envelope import Record, command_headers, event_id
from eventlog.errors import NotFound
from eventlog.partition import partition_of
from eventlog.reader import to_record
from eventlog.roles import Catalog, Projection
from eventlog.settings import Settings
from eventlog.sink import Progress
from eventlog.steps import ProjectStep
from eventlog.topics import Topic
from projections import asof, checkpoints, export, folding, lineage, mending, replay, rollback, verify, versions
from projections.stores.memory import MemoryStore
from tests.laws.registry import MemorySchemas

Place = tuple[str, int]


class Kept:
    """A record, with the methods of the client's message."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def topic(self) -> str:
        return self._record.topic

    def partition(self) -> int:
        return self._record.partition

    def offset(self) -> int:
        return self._record.offset

    def key(self) -> bytes | None:
        return self._record.key

    def value(self) -> bytes | None:
        return self._record.value

    def timestamp(self) -> tuple[int, int]:
        return 1, self._record.timestamp

    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        return self._record.headers

    def error(self) -> None:
        return None


class MemoryLog:
    """Reads the world's records as `LogReader` and `Tail` do."""

    read = 0
    """Records that were handed out."""

    def __init__(self, records: dict[Place, list[Record]]) -> None:
        self._records = records

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def close(self) -> None:
        pass

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        return 0, len(self._records.get((topic, partition), ()))

    def archived_end(self, topic: str, partition: int) -> int:
        return self.bounds(topic, partition)[1]

    def topic_id(self, topic: str) -> str:
        return f"id of {topic}"

    def committed(self, topic: str, partition: int) -> int:
        return self.bounds(topic, partition)[1]

    def waiting(self, ranges: Mapping[Place, tuple[int, int]]) -> int:
        return sum(max(0, end - begin) for begin, end in ranges.values())

    def batches(self, ranges: Mapping[Place, tuple[int, int]]) -> Iterator[tuple[Place, list[Any], int]]:
        for place, (begin, end) in ranges.items():
            found = [Kept(record) for record in self._records.get(place, ())[begin:end]]
            for at in range(0, len(found), 7):
                piece = found[at : at + 7]
                MemoryLog.read += len(piece)
                yield place, piece, piece[-1].offset() + 1
            yield place, [], end


class MemoryTail(MemoryLog):
    def __init__(self, records: dict[Place, list[Record]], starts: Progress) -> None:
        super().__init__(records)
        self._at = dict(starts)

    def take(self, target: Progress) -> Iterator[tuple[Place, list[Any], int]]:
        ranges = {place: (self._at.get(place, 0), end) for place, end in target.items()}
        self._at |= target
        return self.batches(ranges)


class MemoryObjects:
    """A bucket."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.ages_s: dict[str, float] = {}
        """Of those that were not just written."""

    def have_bucket(self) -> None:
        pass

    def put(self, key: str, data: bytes) -> None:
        self.kept[key] = bytes(data)
        self.ages_s.pop(key, None)

    def put_new(self, key: str, data: bytes) -> bool:
        if key not in self.kept:
            self.put(key, data)
        return self.kept[key] == data

    def get(self, key: str) -> bytes:
        if key not in self.kept:
            raise NotFound(key)
        return self.kept[key]

    def delete(self, key: str) -> None:
        self.kept.pop(key, None)

    def keys(self, prefix: str) -> Iterator[tuple[str, int]]:
        yield from [(key, len(data)) for key, data in self.kept.items() if key.startswith(prefix)]

    def ages(self, prefix: str) -> Iterator[tuple[str, float]]:
        yield from [(key, self.ages_s.get(key, 0.0)) for key, _ in self.keys(prefix)]

    def age_s(self, key: str) -> float:
        return self.ages_s.get(key, 0.0)

    def age(self, seconds: float) -> None:
        """Let so much time go by."""
        self.ages_s = {key: self.ages_s.get(key, 0.0) + seconds for key in self.kept}


class World:
    """What tests do to it."""

    def __init__(self, home: Path, catalog: Catalog) -> None:
        self.settings = Settings(kafka="memory", registry="memory", s3="memory", home=home)
        self.catalog = catalog
        self.store = MemoryStore()
        self.objects = MemoryObjects()
        self.records: dict[Place, list[Record]] = {}
        self.schemas = MemorySchemas()
        self.codec = Codec(self.schemas, catalog.message_types)
        self.store.prepare([projection.model for projection in catalog.projections])
        self._versions: dict[str, int] = {}

    def append(self, topic: Topic, fact: Any, time: datetime) -> Place:
        """One fact under its stream's next version; where it lies."""
        stream = getattr(fact, type(fact).stream_field)
        version = self._versions[stream] = self._versions.get(stream, 0) + 1
        extra = [("ce_sequence", b"%d" % version)]
        headers = command_headers(event_id(stream, version), "test", type(fact).__name__, stream, time, extra=extra)
        partition = partition_of(stream.encode(), topic.partitions)
        kept = self.records.setdefault((topic.name, partition), [])
        stamp = int((time + timedelta(seconds=1)).timestamp() * 1000)
        kept.append(Record(topic.name, partition, len(kept), stamp, stream.encode(), self.codec.encode(fact), headers))
        return partition, len(kept) - 1

    def apply(self, projection: Projection, ends: Progress | None = None) -> None:
        """Bring the live version to the log's end, or only so far, as its worker would."""
        log = MemoryLog(self.records)
        for source in projection.sources:
            step = ProjectStep(projection, source, self.codec)
            for partition in range(source.partitions):
                end = log.bounds(source.name, partition)[1]
                end = end if ends is None else min(end, ends.get((source.name, partition), end))
                sink = self.store.sink(projection.model, source.name, partition)
                for _, messages, following in log.batches({(source.name, partition): (sink.open(), end)}):
                    if messages:
                        sink.apply(step.run([to_record(message) for message in messages]).changes, following)
                sink.close()

    def stores(self, _: str, __: Settings) -> MemoryStore:
        return self.store

    def patch(self, patched: pytest.MonkeyPatch) -> None:
        """Let every module that reads the log or asks a service have this world's."""
        for module in (asof, checkpoints, export, lineage, mending, replay, rollback, verify):
            patched.setattr(module, "LogReader", lambda *_, **__: MemoryLog(self.records))
        for module in (asof, checkpoints, export, verify, versions):
            patched.setattr(module, "Registry", self._registry)
        patched.setattr(folding, "Tail", lambda _, starts: MemoryTail(self.records, starts))
        patched.setattr("eventlog.archive.objects.Objects", lambda _: self.objects)

    def _registry(self, _: str) -> Any:
        return _Registry(self.schemas)


class _Registry:
    """The registry's methods, and those of a connection to it."""

    def __init__(self, schemas: MemorySchemas) -> None:
        self.register, self.lookup = schemas.register, schemas.lookup

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def close(self) -> None:
        pass
