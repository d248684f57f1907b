"""A version of a read model under construction: the live task's own step and sink, fed as fast as they take it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from typing import Self

from confluent_kafka import Message

from eventlog.codec import Codec
from eventlog.collector import seldom_meanwhile
from eventlog.errors import Fenced, HandlerFailed, OnefactError, ServiceAway, UnknownSchema
from eventlog.models import Key
from eventlog.operations import Change
from eventlog.reader import LogReader, Unread
from eventlog.roles import Projection
from eventlog.settings import Settings
from eventlog.sink import Progress, Sink, Store
from eventlog.steps import ProjectStep
from eventlog.steps.project import Projected
from projections.asof import time_of
from projections.log import Tail

BATCH_RECORDS = {"redis": 2_000, "postgres": 10_000, "neo4j": 5_000}
"""Records of one commit. A Redis script holds up everybody else; a Postgres commit is the cheaper the larger it is."""
AWAY_TIMEOUT_S = 60.0
"""So long a rebuild waits for its store to come back."""
AWAY_PAUSE_S = 0.5

Place = tuple[str, int]
OnAdvance = Callable[[int], None]
"""Told how many offsets the fold has come further."""


class Touched:
    """Keys of the rows that facts changed, and of those that they made and that are never changed again."""

    def __init__(self) -> None:
        self.changed: set[Key] = set()
        self.appended: set[Key] = set()

    def note(self, changes: Mapping[Key, Change]) -> None:
        for key, change in changes.items():
            (self.appended if change.append else self.changed).add(key)


class RebuildDisturbed(OnefactError):
    """Somebody else wrote to the version that is being built."""


class Rebuild:
    """Folds the log into one version, of which it is the only owner; commits run beside the folding, in order."""

    def __init__(self, projection: Projection, store: Store, version: int, codec: Codec, log: LogReader) -> None:
        self.model = projection.model
        self.version = version
        self.at: Progress = {}
        self.records = 0
        self.dead = 0
        self._store = store
        self._codec = codec
        self._log = log
        self._tail: Tail | None = None
        self._steps = {source.name: ProjectStep(projection, source, codec) for source in projection.sources}
        self._partitions = {source.name: source.partitions for source in projection.sources}
        self._sinks: dict[Place, Sink] = {}
        self._running: dict[Place, Future[None]] = {}
        self._batch = BATCH_RECORDS.get(store.name, 2_000)
        self._pool = ThreadPoolExecutor(sum(self._partitions.values()), thread_name_prefix="rebuild")

    def __enter__(self) -> Self:
        for topic, partitions in self._partitions.items():
            for partition in range(partitions):
                place = (topic, partition)
                self._sinks[place] = sink = self._store.sink(self.model, topic, partition, self.version)
                self.at[place] = sink.open()
        return self

    def __exit__(self, *_: object) -> None:
        if self._tail is not None:
            self._tail.close()
        self._pool.shutdown(wait=True, cancel_futures=True)
        for sink in self._sinks.values():
            sink.close()

    def follow(self, settings: Settings) -> None:
        """From now on targets lie close to each other: stay with the log's end."""
        self._tail = Tail(settings, self.at)

    def fold(
        self,
        target: Progress,
        *,
        touched: Touched | None = None,
        until: datetime | None = None,
        on_advance: OnAdvance | None = None,
    ) -> None:
        """Bring the version to exactly the target; `touched` notes the rows that changed.

        Facts later than `until` are left out. Raises `OnefactError` where a fact cannot be folded.
        """
        ranges = {place: (self.at[place], end) for place, end in target.items() if end > self.at.get(place, 0)}
        unknown = ranges.keys() - self._sinks.keys()
        if unknown:
            raise OnefactError(f"{self.model.name} has progress in {sorted(unknown)}, which it does not read")
        waiting: dict[Place, list[Message]] = {place: [] for place in ranges}
        read_to = {place: begin for place, (begin, _) in ranges.items()}
        try:
            ends = {place: end for place, (_, end) in ranges.items()}
            with seldom_meanwhile():
                for place, messages, following in self._tail.take(ends) if self._tail else self._log.batches(ranges):
                    waiting[place] += messages
                    last = following >= ranges[place][1]
                    if last or len(waiting[place]) >= self._batch:
                        self._fold(place, waiting[place], following, touched, until)
                        waiting[place] = []
                    if on_advance is not None:
                        on_advance(following - read_to[place])
                        read_to[place] = following
        finally:
            running, self._running = self._running, {}
            for future in running.values():
                future.exception()  # wait for all of them, whatever the first one says
        for future in running.values():
            future.result()

    def _fold(
        self, place: Place, messages: list[Message], following: int, touched: Touched | None, until: datetime | None
    ) -> None:
        """Fold in pieces of one commit each."""
        pieces = [messages[i : i + self._batch] for i in range(0, len(messages), self._batch)] or [[]]
        for number, piece in enumerate(pieces, 1):
            end = following if number == len(pieces) else (piece[-1].offset() or 0) + 1
            done = self._projected(place, piece, until)
            if touched is not None:
                touched.note(done.changes)
            previous = self._running.get(place)
            if previous is not None:
                previous.result()
            self._running[place] = self._pool.submit(self._commit, place, done, end)

    def _projected(self, place: Place, messages: Iterable[Message], until: datetime | None) -> Projected:
        kept = messages if until is None else [m for m in messages if (time_of(m) or until) <= until]
        records = [Unread(message) for message in kept]
        if not records:
            return Projected()
        step = self._steps[place[0]]
        while True:
            try:
                done = step.run(records)
            except UnknownSchema:
                self._codec.learn_all(record.value for record in records)
            except HandlerFailed as failed:
                raise OnefactError(f"{failed}; nothing was switched") from failed
            else:
                self.records += len(records)
                # Their letters were written when the live task met them.
                self.dead += done.counts["dead"]
                return done

    def _commit(self, place: Place, done: Projected, following: int) -> None:
        """Apply, waiting for a store that is away: what became of the commit, the sink's own position tells."""
        sink, before = self._sinks[place], self.at[place]
        deadline = time.monotonic() + AWAY_TIMEOUT_S
        at = before
        while at == before:
            try:
                sink.apply(done.changes, following)
                at = following
            except ServiceAway:
                at = self._reopened(sink, deadline)
            except Fenced as fenced:
                raise RebuildDisturbed(f"version {self.version} of {self.model.name} was changed: {fenced}") from fenced
            if before == following:
                break
        if at != following:
            raise RebuildDisturbed(
                f"version {self.version} of {self.model.name} is at {at} of {place}, not at {following}"
            )
        self.at[place] = following

    @staticmethod
    def _reopened(sink: Sink, deadline: float) -> int:
        while True:
            time.sleep(AWAY_PAUSE_S)
            try:
                return sink.open()
            except ServiceAway:
                if time.monotonic() > deadline:
                    raise
