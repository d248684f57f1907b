"""Rows as they were: the log folded anew, up to a time or a position, from the nearest checkpoint there is.

The log of a stream is read once and its changes are kept, so that the next point of the same stream costs a fold only.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from eventlog.codec import Codec
from eventlog.envelope import Record
from eventlog.errors import HandlerFailed, OnefactError, UnknownSchema
from eventlog.memory import MemoryRows
from eventlog.models import Key
from eventlog.operations import Change
from eventlog.partition import partition_of
from eventlog.position import Position
from eventlog.reader import LogReader, to_record
from eventlog.registry import Registry
from eventlog.roles import Catalog, Projection
from eventlog.settings import Settings
from eventlog.steps import ProjectStep
from eventlog.topics import Topic
from projections.folding import check_start, compacted, compacted_away, stream_owns_rows, time_in, time_of
from projections.lineage import Deadline, Lineage
from projections.nearest import Nearest
from projections.points import Point

KEPT_FACTS_MAX = 200_000
"""Facts whose changes are kept for the next read, over all streams."""


class Fact(NamedTuple):
    """What one record does to the model; `time` None where it cannot be read."""

    offset: int
    time: datetime | None
    gap: bool
    """Records of its key may have been compacted away since the one before."""
    changes: dict[Key, Change]


class History:
    """One stream's facts in the topics that a model reads, stretch by stretch: (topic, first offset)."""

    def __init__(self) -> None:
        self.facts: dict[tuple[str, int], list[Fact]] = {}
        self.places: dict[tuple[str, int], Place] = {}

    def __len__(self) -> int:
        return sum(map(len, self.facts.values()))


class Place:
    """How far a partition has been read for a history, and whether compaction has left gaps on the way."""

    def __init__(self, begin: int = 0) -> None:
        self.next = begin
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


class Histories:
    """Folds models as of a point. May be used from several threads, one at a time; holds its consumer until `close`."""

    def __init__(self, settings: Settings, catalog: Catalog, lineage: Lineage) -> None:
        self._settings = settings
        self._catalog = catalog
        self._lineage = lineage
        self._lock = threading.Lock()
        self._log: LogReader | None = None
        self._registry: Registry | None = None
        self._codecs: dict[str, Codec] = {}
        self._kept: OrderedDict[tuple[str, str], History] = OrderedDict()
        self._shared: set[str] = set()
        self._nearest = Nearest(settings)

    def close(self) -> None:
        with self._lock:
            if self._log is not None:
                self._log.close()
            if self._registry is not None:
                self._registry.close()
            self._log = self._registry = None
            self._codecs.clear()
            self._kept.clear()

    def fold(self, projection: Projection, key: Key, point: Point, deadline: Deadline) -> MemoryRows:
        """The model's rows as of the point; where a key (or its first columns) is given, at least its rows.

        Waits until what is enriched from the facts there are now has been enriched. Raises `Lags`, `HistoryGone`.
        """
        with self._lock:
            if isinstance(point, Position):
                self._lineage.check(point)
            self._open(projection)
            stream = key[0] if key else None
            if isinstance(stream, str) and projection.model.name not in self._shared and stream_owns_rows(projection):
                rows = self._fold_stream(projection, stream, point, deadline)
                if rows is not None:
                    return rows
                self._shared.add(projection.model.name)
            return self._fold_all(projection, key, point, deadline)

    def _open(self, projection: Projection) -> tuple[LogReader, Codec]:
        """The log, and what decodes the model's facts: each class that a codec has is a question to the registry."""
        name = projection.model.name
        if name not in self._codecs:
            self._settings.required("kafka", "registry")
            self._registry = self._registry or Registry(self._settings.registry)
            types = dict.fromkeys(cls for source in projection.sources for cls in source.types)
            self._codecs[name] = Codec(self._registry, types, self._catalog.upcasters)
        if self._log is None:
            first = compacted(self._catalog.projections)
            self._log = LogReader(self._settings, archived_first=first, past=self._lineage.past)
        return self._log, self._codecs[name]

    def _fold_stream(self, projection: Projection, stream: str, point: Point, deadline: Deadline) -> MemoryRows | None:
        """The rows of one stream; None where one of its facts changes rows that are not its own."""
        raw = stream.encode()
        places = {(source.name, partition_of(raw, source.partitions)): source for source in projection.sources}
        limits = self._limits(projection, places, point, deadline)
        log, _ = self._open(projection)
        began = self._nearest.begin(projection, log, places, point, limits, (stream,))
        if not began.owned:
            return None
        rows = began.rows
        history = self._kept.pop((projection.model.name, stream), None) or History()
        for place, source in places.items():
            facts: list[Fact] = []
            for begin, end in began.base.stretches[place]:
                stretch = Stretch(source, place[1], begin, end)
                known = history.facts.setdefault((source.name, begin), [])
                for fact in self._read_on(projection, stretch, raw, history):
                    if any(key[0] != stream for key in fact.changes):
                        return None
                    known.append(fact)
                # What was read as the log's end may reach past a checkpoint that was made since.
                facts += [fact for fact in known if end is None or fact.offset < end]
            _apply(rows, projection, source, facts, point, limits.get(place))
        self._keep(projection.model.name, stream, history)
        return rows

    def _limits(
        self, projection: Projection, places: Mapping[tuple[str, int], Topic], point: Point, deadline: Deadline
    ) -> dict[tuple[str, int], int]:
        """Where a position ends in these partitions; for a time, none, once what it may need is there."""
        found: dict[tuple[str, int], int] = {}
        for source in dict.fromkeys(places.values()):
            partitions = [partition for topic, partition in places if topic == source.name]
            if isinstance(point, Position):
                limits = self._lineage.limits(projection, source, point, partitions, deadline)
                found |= {(source.name, partition): limit for partition, limit in limits.items()}
                continue
            for partition in partitions:
                self._lineage.wait_whole(projection, source, partition, deadline)
        return found

    def _read_on(self, projection: Projection, stretch: Stretch, raw: bytes, history: History) -> Iterator[Fact]:
        """The stream's facts of a stretch that were not read before."""
        log, codec = self._open(projection)
        source, partition, begin, last = stretch
        place = history.places.setdefault((source.name, begin), Place(begin))
        if last is not None and place.next >= last:
            return
        step = ProjectStep(projection, source, codec)
        low, high = log.bounds(source.name, partition)
        end = high if last is None else last
        check_start(source, partition, low, begin)
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

    def _fold_all(self, projection: Projection, key: Key, point: Point, deadline: Deadline) -> MemoryRows:
        """All rows; where a key (or its first columns) is given, its own."""
        log, _ = self._open(projection)
        places = {(source.name, p): source for source in projection.sources for p in range(source.partitions)}
        limits = self._limits(projection, places, point, deadline)
        began = self._nearest.begin(projection, log, places, point, limits, key[:1])
        rows = began.rows
        for place, source in places.items():
            for begin, end in began.base.stretches[place]:
                stretch = Stretch(source, place[1], begin, end)
                if self._fold_stretch(projection, stretch, key, point, limits.get(place), rows):
                    raise compacted_away(projection, source)
        return rows

    def _fold_stretch(
        self, projection: Projection, stretch: Stretch, wanted: Key, point: Point, limit: int | None, rows: MemoryRows
    ) -> bool:
        """Fold what is of the point; whether a key's last record of it may have been compacted away."""
        log, codec = self._open(projection)
        source, partition, begin, last = stretch
        step = ProjectStep(projection, source, codec)
        low, high = log.bounds(source.name, partition)
        check_start(source, partition, low, begin)
        end = high if last is None else last
        limit = end if limit is None else limit
        # Where older records may be gone, only the next one of a key tells.
        end = end if source.compacted else min(end, limit)
        place, gone, by_position = Place(begin), set[bytes | None](), isinstance(point, Position)
        for _, messages, _ in log.batches({(source.name, partition): (begin, end)}):
            of_point = []
            for message in messages:
                record = to_record(message)
                place.saw(record.offset)
                key = record.key
                gap = source.compacted and place.gap(key)
                if record.offset < limit and (by_position or _included(time_in(record.headers), point)):
                    of_point.append(record)
                    gone.discard(key)
                elif gap:
                    gone.add(key)
            if of_point:
                rows.apply(_starting(step_run(step, of_point), wanted))
        return bool(gone)

    def _keep(self, model: str, stream: str, history: History) -> None:
        """Remember the history, and forget those that were read longest ago."""
        self._kept[model, stream] = history
        total = sum(map(len, self._kept.values()))
        while total > KEPT_FACTS_MAX:
            _, oldest = self._kept.popitem(last=False)
            total -= len(oldest)


class Stretch(NamedTuple):
    """Of one partition, from `begin` to before `end`; None is the log's end."""

    source: Topic
    partition: int
    begin: int
    end: int | None


def _starting(changes: dict[Key, Change], wanted: Key) -> dict[Key, Change]:
    count = len(wanted)
    return {key: change for key, change in changes.items() if key[:count] == wanted} if count else changes


def _apply(
    rows: MemoryRows, projection: Projection, source: Topic, facts: Sequence[Fact], point: Point, limit: int | None
) -> None:
    included = [fact for fact in facts if (limit is None or fact.offset < limit) and _included(fact.time, point)]
    if source.compacted:
        last = included[-1].offset if included else -1
        if any(fact.gap for fact in facts if fact.offset > last):
            raise compacted_away(projection, source)
    for fact in included:
        rows.apply(fact.changes)


def _included(time: datetime | None, point: Point) -> bool:
    return isinstance(point, Position) or time is None or time <= point
