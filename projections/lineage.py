"""Which facts lead to which: how far a model is along a position of a topic that it may read only through others."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import cache, partial
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaException

from eventlog.errors import BadInput, OnefactError, ServiceAway
from eventlog.position import Position
from eventlog.reader import LogReader, past_of, watermarks
from eventlog.roles import Catalog, Decider, Enricher, Projection
from eventlog.settings import Settings
from eventlog.sink import Store
from eventlog.topics import Topic
from projections.causes import boundary, scanned

POLL_S_MIN = 0.002
POLL_S_MAX = 0.1


class Lags(OnefactError):
    """A read model, or a processor that feeds it, has not come to a position in time."""


class Way(NamedTuple):
    """One processor from its source to one of its outputs; `same` says that a fact stays in its partition."""

    role: Decider | Enricher
    output: Topic
    same: bool


def ways(catalog: Catalog) -> list[Way]:
    """Every processor's outputs."""
    found = [
        Way(decider, decider.domain.topic(kind), True)
        for decider in catalog.deciders
        for kind in ("events", "rejections", "outcomes")
    ]
    for enricher in catalog.enrichers:
        if enricher.domain.enriched:
            found.append(Way(enricher, enricher.domain.topic("enriched"), True))
        found.extend(Way(enricher, topic, False) for topic in enricher.also)
    return found


class Deadline:
    """A wait that ends; pauses start at milliseconds and grow."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._end = time.monotonic() + timeout_s
        self._pause = POLL_S_MIN

    def pause(self) -> bool:
        """Sleep a little; False when the time is over."""
        left = self._end - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(self._pause, left))
        self._pause = min(self._pause * 1.5, POLL_S_MAX)
        return True

    def fresh(self) -> None:
        """The next wait is for something else: start again with short pauses."""
        self._pause = POLL_S_MIN


class Lineage:
    """Follows positions through the catalog. Safe to use from several threads; holds its consumers until `close`."""

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        self._settings = settings
        self._catalog = catalog
        self.past = cache(partial(past_of, settings))
        """The archive, for others too that read what this one reads: a file is fetched once."""
        self._ways = ways(catalog)
        self._topics = {topic.name: topic for topic in catalog.topics}
        self._lock = threading.Lock()
        self._readers: dict[str, LogReader] = {}
        self._uncommitted: Consumer | None = None
        self._settled: dict[tuple[str, int], int] = {}

    def close(self) -> None:
        with self._lock:
            for reader in self._readers.values():
                reader.close()
            if self._uncommitted is not None:
                self._uncommitted.close()
            self._readers, self._uncommitted = {}, None

    def check(self, position: Position) -> None:
        """Raise `BadInput` when the position names what does not exist."""
        for topic, partition, _ in position:
            declared = self._topics.get(topic)
            if declared is None:
                raise BadInput(f"the position names topic {topic}, which no domain here declares")
            if partition >= declared.partitions:
                raise BadInput(f"the position names partition {partition} of {topic}, which has {declared.partitions}")

    def wait(
        self, projection: Projection, store: Store, position: Position, deadline: Deadline, version: int | None = None
    ) -> None:
        """Return when the model has applied everything that the position leads to.

        Raises `Lags`, naming the model or the processor that is behind, with where it is and what was wanted.
        """
        self.check(position)
        sources = {topic.name for topic in projection.sources}
        todo = list(position)
        seen = set()
        while todo:
            topic, partition, offset = todo.pop(0)
            if offset == 0 or (topic, partition, offset) in seen:
                continue
            seen.add((topic, partition, offset))
            if topic in sources:
                self._wait_model(projection, store, (topic, partition), offset, deadline, version)
            for way in self._ways:
                if way.role.source.name == topic and self._leads(way.output.name, sources):
                    self._wait_processor(projection, way.role, partition, offset, deadline)
                    output = way.output.name
                    todo += [(output, p, self._settled_end(output, p, deadline)) for p in self._places(way, partition)]

    def wait_whole(self, projection: Projection, source: Topic, partition: int, deadline: Deadline) -> None:
        """Return when every fact there is now, that enriches into this partition of a model's source, is enriched.

        Commands that wait to be decided are no facts yet, so deciders are not waited for.
        """
        for way in self._ways:
            if way.output.name != source.name or not isinstance(way.role, Enricher):
                continue
            upstream = way.role.source
            for place in [partition] if way.same else range(upstream.partitions):
                self.wait_whole(projection, upstream, place, deadline)
                end = self.end(upstream.name, place)
                if self._settled.get((way.role.name, place)) == end:
                    continue  # checked before, and nothing has come since
                if self._committed(way.role.name, upstream.name, place) < self._readable(
                    upstream.name, place, deadline
                ):
                    records_end = self._settled_end(upstream.name, place, deadline)
                    self._wait_processor(projection, way.role, place, records_end, deadline)
                for output in self._places(way, place):
                    self._readable(source.name, output, deadline)
                self._settled[way.role.name, place] = end

    def limits(
        self, projection: Projection, source: Topic, position: Position, partitions: list[int], deadline: Deadline
    ) -> dict[int, int]:
        """Where the position ends in these partitions of a model's source: the next offset of each.

        Where the position names the topic itself this is what it says; where it names one that the source is
        made from, facts count whose cause lies before it. Raises `BadInput` when it names neither.
        """
        if any(topic == source.name for topic, _, _ in position):
            return {p: position.offsets.get((source.name, p), 0) for p in partitions}
        named = {topic for topic, _, _ in position}
        for way in self._ways:
            if way.same and way.output.name == source.name and self._reached(way.role.source.name, named):
                before = self.limits(projection, way.role.source, position, partitions, deadline)
                return {p: self._boundary(projection, way, p, n, deadline) if n else 0 for p, n in before.items()}
        raise BadInput(
            f"{projection.model.name} reads {source.name}, which has no order with {', '.join(sorted(named))}"
        )

    def end(self, topic: str, partition: int) -> int:
        """Offset after the last stable record or marker."""
        with self._lock:
            return self._reader().bounds(topic, partition)[1]

    def _reached(self, topic: str, named: set[str]) -> bool:
        return topic in named or any(
            self._reached(way.role.source.name, named) for way in self._ways if way.same and way.output.name == topic
        )

    def _leads(self, topic: str, sources: set[str]) -> bool:
        return self._reached_from(topic, sources, set())

    def _reached_from(self, topic: str, sources: set[str], seen: set[str]) -> bool:
        if topic in sources:
            return True
        seen.add(topic)
        onward = {way.output.name for way in self._ways if way.role.source.name == topic} - seen
        return any(self._reached_from(name, sources, seen) for name in onward)

    @staticmethod
    def _places(way: Way, partition: int) -> Iterator[int]:
        yield from (partition,) if way.same else range(way.output.partitions)

    def _wait_model(
        self,
        projection: Projection,
        store: Store,
        place: tuple[str, int],
        offset: int,
        deadline: Deadline,
        version: int | None,
    ) -> None:
        model = projection.model
        deadline.fresh()
        while (at := store.progress(model, version).get(place, 0)) < offset:
            if not deadline.pause():
                raise Lags(
                    f"{model.name} lags: after {deadline.timeout_s:g} s it is at {Position.of(*place, at)}, "
                    f"wanted is {Position.of(*place, offset)}; see `onefact lag`, and whether a worker has "
                    f"{projection.name}"
                )

    def _wait_processor(
        self, projection: Projection, role: Decider | Enricher, partition: int, offset: int, deadline: Deadline
    ) -> None:
        topic = role.source.name
        deadline.fresh()
        while (at := self._committed(role.name, topic, partition)) < offset:
            if not deadline.pause():
                raise Lags(
                    f"{projection.model.name} lags: after {deadline.timeout_s:g} s {role.name}, whose facts it reads, "
                    f"is at {Position.of(topic, partition, at)}, wanted is {Position.of(topic, partition, offset)}; "
                    "see `onefact lag`, and whether a worker has that role"
                )

    def _readable(self, topic: str, partition: int, deadline: Deadline) -> int:
        """Offset after what is written now, once it is readable.

        A transaction's offsets may be seen as committed a moment before its records are: therefore the high
        watermark is awaited.
        """
        written = self._high_watermark(topic, partition)
        deadline.fresh()
        while (end := self.end(topic, partition)) < written:
            if not deadline.pause():
                raise Lags(f"{topic} lags: partition {partition} has an open transaction at {end}, wanted is {written}")
        return end

    def _settled_end(self, topic: str, partition: int, deadline: Deadline) -> int:
        """The same after the last record: behind it there may be markers, which no model ever applies."""
        end, back = self._readable(topic, partition, deadline), 2
        while True:
            with self._lock:
                reader = self._reader()
                begin = max(0, end - back)
                last = max(
                    (
                        m.offset() or 0
                        for _, batch, _ in reader.batches({(topic, partition): (begin, end)})
                        for m in batch
                    ),
                    default=None,
                )
            if last is not None:
                return last + 1
            if begin == 0:
                return 0
            back *= 16

    def _boundary(self, projection: Projection, way: Way, partition: int, offset: int, deadline: Deadline) -> int:
        """Offset of the first fact of the output whose cause lies at `offset` or after it."""
        source, output = (way.role.source.name, partition), (way.output.name, partition)
        if self._committed(way.role.name, *source) < offset:
            offset = min(offset, self._settled_end(*source, deadline))
            self._wait_processor(projection, way.role, partition, offset, deadline)
        end = self._readable(*output, deadline)
        with self._lock:
            found = self._first_caused(way, source, offset, output, end)
        return self._settled_end(*output, deadline) if found == end else found

    def _first_caused(self, way: Way, source: tuple[str, int], offset: int, output: tuple[str, int], end: int) -> int:
        """The same, or `end` where there is none before."""
        log = self._reader()
        if offset >= log.bounds(*source)[1]:
            return end
        # Facts have each id once; commands may be sent again, and then only a reading of all tells which was decided.
        repeated = isinstance(way.role, Decider)
        if not repeated and self._in_order(log, way.role.source) and self._in_order(log, way.output):
            found = boundary(log, source, offset, output, end)
            if found is not None:
                return found
        return scanned(log, source, offset, output, end, repeated=repeated)

    @staticmethod
    def _in_order(log: LogReader, topic: Topic) -> bool:
        """Whether no record can have been published again: all dead letters that there ever were are still there."""
        if not topic.dead_letters:
            return True
        name = topic.dead.name
        ends = {(name, partition): log.bounds(name, partition)[1] for partition in range(topic.dead.partitions)}
        following = dict.fromkeys(ends, 0)
        for place, letters, _ in log.batches({place: (0, end) for place, end in ends.items() if end}):
            for letter in letters:
                at = letter.offset() or 0
                # One missing offset is a transaction's marker; more were letters.
                if letter.value() is None or at > following[place] + 1:
                    return False
                following[place] = at + 1
        return all(end <= following[place] + 1 for place, end in ends.items())

    def _committed(self, group: str, topic: str, partition: int) -> int:
        with self._lock:
            return self._reader(group).committed(topic, partition)

    def _reader(self, group: str = "onefact.reader") -> LogReader:
        reader = self._readers.get(group)
        if reader is None:
            reader = self._readers[group] = LogReader(self._settings, group, past=self.past)
        return reader

    def _high_watermark(self, topic: str, partition: int) -> int:
        with self._lock:
            if self._uncommitted is None:
                self._uncommitted = Consumer(
                    {
                        "bootstrap.servers": self._settings.kafka,
                        "group.id": "onefact.reader",  # required by the client; nothing joins it
                        "enable.auto.commit": False,
                        "isolation.level": "read_uncommitted",  # the high watermark, not the last stable offset
                        "log_level": 0,
                    }
                )
            try:
                return watermarks(self._uncommitted, topic, partition)[1]
            except KafkaException as error:
                raise ServiceAway("kafka", f"{self._settings.kafka}: {error.args[0].str()}") from None
