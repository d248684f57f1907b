"""Rows as they were: the log folded anew, up to a time or a position.

The log of a stream is read once and its changes are kept, so that the next point of the same stream costs a fold only.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from confluent_kafka import Message

from eventlog.codec import Codec
from eventlog.envelope import Record, parse_time
from eventlog.errors import HandlerFailed, OnefactError, UnknownSchema
from eventlog.memory import MemoryRows
from eventlog.models import Key
from eventlog.operations import Change
from eventlog.partition import partition_of
from eventlog.position import Position
from eventlog.reader import LogReader, headers_of, to_record
from eventlog.registry import Registry
from eventlog.roles import Catalog, Projection
from eventlog.settings import Settings
from eventlog.steps import ProjectStep
from eventlog.topics import Topic
from projections.lineage import Deadline, Lineage
from projections.points import Point

KEPT_FACTS_MAX = 200_000
"""Facts whose changes are kept for the next read, over all streams."""


class HistoryGone(OnefactError):
    """The log no longer holds what a fold up to that point would need."""


class Fact(NamedTuple):
    """What one record does to the model; `time` None where it cannot be read."""

    offset: int
    time: datetime | None
    gap: bool
    """Records of its key may have been compacted away since the one before."""
    changes: dict[Key, Change]


class History:
    """One stream's facts in the topics that a model reads."""

    def __init__(self) -> None:
        self.facts: dict[str, list[Fact]] = {}
        self.places: dict[str, Place] = {}

    def __len__(self) -> int:
        return sum(map(len, self.facts.values()))


class Place:
    """How far a partition has been read for a history, and whether compaction has left gaps on the way."""

    def __init__(self) -> None:
        self.next = 0
        self.gaps = 0
        self.gaps_at: dict[bytes | None, int] = {}

    def saw(self, offset: int) -> None:
        # One missing offset is a transaction's marker; more were records.
        if offset > self.next + 1:
            self.gaps += 1
        self.next = offset + 1

    def gap(self, key: bytes | None) -> bool:
        """Whether there was a gap since the last record of the key."""
        before = self.gaps_at.get(key, 0)
        self.gaps_at[key] = self.gaps
        return before != self.gaps


def step_run(step: ProjectStep, records: Sequence[Record]) -> dict[Key, Change]:
    """Changes of the records, asking the registry for schema ids met for the first time."""
    while True:
        try:
            return step.run(records).changes
        except UnknownSchema as unknown:
            step.codec.learn(unknown.schema_id)
        except HandlerFailed as failed:
            raise OnefactError(str(failed)) from failed


def time_of(message: Message) -> datetime | None:
    """A record's time; None where it cannot be read, which makes the record one for the dead letters."""
    for name, value in reversed(headers_of(message)):
        if name == "ce_time":
            try:
                return parse_time(value.decode()) if isinstance(value, bytes) else None
            except ValueError:
                return None
    return None


def stream_owns_rows(projection: Projection) -> bool:
    """Whether the rows of a key come from the stream of that id alone: key and stream are the same column by name.

    It is checked on every fact that is folded by stream, and given up where it does not hold.
    """
    column = projection.model.key[0]
    types = [cls for source in projection.sources for cls in source.types]
    return projection.model.columns[column] == "text" and all(cls.stream_field == column for cls in types)


class Histories:
    """Folds models as of a point. May be used from several threads, one at a time; holds its consumer until `close`."""

    def __init__(self, settings: Settings, catalog: Catalog, lineage: Lineage) -> None:
        self._settings = settings
        self._catalog = catalog
        self._lineage = lineage
        self._lock = threading.Lock()
        self._log: LogReader | None = None
        self._registry: Registry | None = None
        self._codec: Codec | None = None
        self._kept: OrderedDict[tuple[str, str], History] = OrderedDict()
        self._shared: set[str] = set()

    def close(self) -> None:
        with self._lock:
            if self._log is not None:
                self._log.close()
            if self._registry is not None:
                self._registry.close()
            self._log = self._registry = self._codec = None
            self._kept.clear()

    def fold(self, projection: Projection, key: Key, point: Point, deadline: Deadline) -> MemoryRows:
        """The model's rows as of the point; where a key (or its first columns) is given, at least its rows.

        Waits until what is enriched from the facts there are now has been enriched. Raises `Lags`, `HistoryGone`.
        """
        with self._lock:
            if isinstance(point, Position):
                self._lineage.check(point)
            self._open()
            stream = key[0] if key else None
            if isinstance(stream, str) and projection.model.name not in self._shared and stream_owns_rows(projection):
                rows = self._fold_stream(projection, stream, point, deadline)
                if rows is not None:
                    return rows
                self._shared.add(projection.model.name)
            return self._fold_all(projection, point, deadline)

    def _open(self) -> tuple[LogReader, Codec]:
        if self._codec is None:
            self._settings.required("kafka", "registry")
            self._registry = self._registry or Registry(self._settings.registry)
            self._codec = Codec(self._registry, self._catalog.message_types, self._catalog.upcasters)
        if self._log is None:
            self._log = LogReader(self._settings)
        return self._log, self._codec

    def _fold_stream(self, projection: Projection, stream: str, point: Point, deadline: Deadline) -> MemoryRows | None:
        """The rows of one stream; None where one of its facts changes rows that are not its own."""
        history = self._kept.pop((projection.model.name, stream), None) or History()
        raw = stream.encode()
        rows = MemoryRows(projection.model)
        for source in projection.sources:
            partition = partition_of(raw, source.partitions)
            limits = self._limits(projection, source, point, [partition], deadline)
            for fact in self._read_on(projection, source, partition, raw, history):
                if any(key[0] != stream for key in fact.changes):
                    return None
                history.facts.setdefault(source.name, []).append(fact)
            _apply(rows, projection, source, history.facts.get(source.name, []), point, limits.get(partition))
        self._keep(projection.model.name, stream, history)
        return rows

    def _limits(
        self, projection: Projection, source: Topic, point: Point, partitions: list[int], deadline: Deadline
    ) -> dict[int, int]:
        if isinstance(point, Position):
            return self._lineage.limits(projection, source, point, partitions, deadline)
        for partition in partitions:
            self._lineage.wait_whole(projection, source, partition, deadline)
        return {}

    def _read_on(
        self, projection: Projection, source: Topic, partition: int, raw: bytes, history: History
    ) -> Iterator[Fact]:
        """The stream's facts that were not read before."""
        log, codec = self._open()
        step = ProjectStep(projection, source, codec)
        place = history.places.setdefault(source.name, Place())
        low, end = log.bounds(source.name, partition)
        _check_start(source, partition, low)
        if place.next >= end:
            return
        following = place.next
        for _, messages, following in log.batches({(source.name, partition): (place.next, end)}):  # noqa: B007
            for message in messages:
                place.saw(message.offset() or 0)
                if message.key() == raw:
                    changes = step_run(step, [to_record(message)])
                    yield Fact(message.offset() or 0, time_of(message), place.gap(raw), changes)
        place.next = max(place.next, min(following, end))

    def _fold_all(self, projection: Projection, point: Point, deadline: Deadline) -> MemoryRows:
        log, codec = self._open()
        rows = MemoryRows(projection.model)
        for source in projection.sources:
            step = ProjectStep(projection, source, codec)
            partitions = list(range(source.partitions))
            limits = self._limits(projection, source, point, partitions, deadline)
            for partition in partitions:
                low, end = log.bounds(source.name, partition)
                _check_start(source, partition, low)
                limit = limits.get(partition, end)
                # Where older records may be gone, only the next one of a key tells.
                end = end if source.compacted else min(end, limit)
                place, gone = Place(), set()
                for _, messages, _ in log.batches({(source.name, partition): (0, end)}):
                    wanted = []
                    for message in messages:
                        place.saw(message.offset() or 0)
                        key = message.key()
                        gap = source.compacted and place.gap(key)
                        if (message.offset() or 0) < limit and _included(time_of(message), point):
                            wanted.append(to_record(message))
                            gone.discard(key)
                        elif gap:
                            gone.add(key)
                    if wanted:
                        rows.apply(step_run(step, wanted))
                if gone:
                    raise _compacted(projection, source)
        return rows

    def _keep(self, model: str, stream: str, history: History) -> None:
        """Remember the history, and forget those that were read longest ago."""
        self._kept[model, stream] = history
        total = sum(map(len, self._kept.values()))
        while total > KEPT_FACTS_MAX:
            _, oldest = self._kept.popitem(last=False)
            total -= len(oldest)


def _apply(
    rows: MemoryRows, projection: Projection, source: Topic, facts: Sequence[Fact], point: Point, limit: int | None
) -> None:
    included = [fact for fact in facts if (limit is None or fact.offset < limit) and _included(fact.time, point)]
    if source.compacted:
        last = included[-1].offset if included else -1
        if any(fact.gap for fact in facts if fact.offset > last):
            raise _compacted(projection, source)
    for fact in included:
        rows.apply(fact.changes)


def _included(time: datetime | None, point: Point) -> bool:
    return isinstance(point, Position) or time is None or time <= point


def _check_start(source: Topic, partition: int, low: int) -> None:
    if low > 0 and not source.compacted:
        raise HistoryGone(f"the log of {source.name}, partition {partition}, begins at {low}; what was before is gone")


def _compacted(projection: Projection, source: Topic) -> HistoryGone:
    return HistoryGone(
        f"{projection.model.name} reads {source.name}, whose older records were compacted away: "
        "what it was at that point is not known; a later point may be"
    )
