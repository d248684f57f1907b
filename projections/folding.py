"""Folding a range of the log anew, wherever the rows go: into a version of a model, or into memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from confluent_kafka import Message

from eventlog.codec import Codec
from eventlog.collector import seldom_meanwhile
from eventlog.envelope import parse_time
from eventlog.errors import HandlerFailed, OnefactError, UnknownSchema
from eventlog.memory import MemoryRows
from eventlog.models import Key, Row
from eventlog.operations import Change
from eventlog.reader import LogReader, Unread, headers_of
from eventlog.roles import Projection
from eventlog.settings import Settings
from eventlog.sink import Progress
from eventlog.steps import ProjectStep
from eventlog.steps.project import Projected
from eventlog.topics import Topic
from projections.log import Tail

MEMORY_RECORDS = 5_000
"""Of a batch that is folded in memory."""

Place = tuple[str, int]
Keep = Callable[[Key], bool]
"""Which rows count."""
OnAdvance = Callable[[Place, int], None]
"""Told how far (the next offset) the fold has come in a partition."""


def time_of(message: Message) -> datetime | None:
    """A record's time; None where it cannot be read, which makes the record one for the dead letters."""
    return time_in(headers_of(message))


def time_in(headers: Sequence[tuple[str, bytes | None]]) -> datetime | None:
    """The time that headers say, as `time_of`."""
    for name, value in reversed(headers):
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


def compacted(projections: Iterable[Projection]) -> set[str]:
    """Names of the topics they read in which Kafka keeps each key's newest record alone: an archive has all."""
    return {source.name for projection in projections for source in projection.sources if source.compacted}


class HistoryGone(OnefactError):
    """The log no longer holds what a fold would need."""


def compacted_away(projection: Projection, source: Topic) -> HistoryGone:
    return HistoryGone(
        f"{projection.model.name} reads {source.name}, whose older records were compacted away: "
        "what it was at that point is not known; a later point may be"
    )


def check_start(source: Topic, partition: int, low: int, begin: int) -> None:
    """Raise `HistoryGone` where a fold that begins there would miss facts: what compaction removed is no loss."""
    if low > begin and not source.compacted:
        raise HistoryGone(f"the log of {source.name}, partition {partition}, begins at {low}; what was before is gone")


class Touched:
    """Keys of the rows that facts changed, and of those that they made and that are never changed again."""

    def __init__(self) -> None:
        self.changed: set[Key] = set()
        self.appended: set[Key] = set()

    def note(self, changes: Mapping[Key, Change]) -> None:
        for key, change in changes.items():
            (self.appended if change.append else self.changed).add(key)

    def keep(self, keep: Keep) -> None:
        """Forget the other keys."""
        self.changed, self.appended = set(filter(keep, self.changed)), set(filter(keep, self.appended))


class Window(NamedTuple):
    """Facts by when they happened: from `since` on, up to and including `until`; None is no bound."""

    since: datetime | None = None
    until: datetime | None = None

    def holds(self, message: Message) -> bool:
        """Whether the fact counts. One whose time cannot be read is a dead letter's, and leads to nothing anyway."""
        time = time_of(message)
        if time is None:
            return True
        return (self.since is None or time >= self.since) and (self.until is None or time <= self.until)


EVERYTHING = Window()


class Folding:
    """Reads records in pieces and has each projected; what becomes of the changes is for `_take` to say."""

    def __init__(
        self,
        projection: Projection,
        codec: Codec,
        log: LogReader,
        *,
        batch: int,
        window: Window = EVERYTHING,
        places: Collection[Place] | None = None,
    ) -> None:
        self.model = projection.model
        self.at: Progress = {}
        """Next offset of each partition that is read: of all, or of `places`."""
        self.records = 0
        self.dead = 0
        self._codec = codec
        self._log = log
        self._batch = batch
        self._window = None if window == EVERYTHING else window
        self._tail: Tail | None = None
        self._steps = {source.name: ProjectStep(projection, source, codec) for source in projection.sources}
        there = [(source.name, partition) for source in projection.sources for partition in range(source.partitions)]
        self.places = [place for place in there if places is None or place in places]

    def follow(self, settings: Settings) -> None:
        """From now on targets lie close to each other: stay with the log's end."""
        self._tail = Tail(settings, {place: self.at.get(place, 0) for place in self.places})

    def unfollow(self) -> None:
        """Let go of the log's end."""
        if self._tail is not None:
            self._tail.close()
            self._tail = None

    def fold(self, target: Progress, *, touched: Touched | None = None, on_advance: OnAdvance | None = None) -> None:
        """Bring it to exactly the target; `touched` notes the rows that changed.

        Raises `OnefactError` where a fact cannot be folded, `HistoryGone` where neither log nor archive has it.
        """
        ranges = {place: (self.at.get(place, 0), end) for place, end in target.items() if end > self.at.get(place, 0)}
        unknown = ranges.keys() - set(self.places)
        if unknown:
            raise OnefactError(f"{self.model.name} has progress in {sorted(unknown)}, which it does not read")
        if self._tail is None:
            for (topic, partition), (begin, _) in ranges.items():
                check_start(self._steps[topic].source, partition, self._log.bounds(topic, partition)[0], begin)
        waiting: dict[Place, list[Message]] = {place: [] for place in ranges}
        ends = {place: end for place, (_, end) in ranges.items()}
        try:
            with seldom_meanwhile():
                for place, messages, following in self._tail.take(ends) if self._tail else self._log.batches(ranges):
                    waiting[place] += messages
                    if following >= ends[place] or len(waiting[place]) >= self._batch:
                        self._fold(place, waiting[place], following, touched)
                        waiting[place] = []
                    if on_advance is not None:
                        on_advance(place, following)
        finally:
            self._settle()
        self._finish()

    def _fold(self, place: Place, messages: list[Message], following: int, touched: Touched | None) -> None:
        """Fold in pieces of one commit each."""
        pieces = [messages[i : i + self._batch] for i in range(0, len(messages), self._batch)] or [[]]
        for number, piece in enumerate(pieces, 1):
            end = following if number == len(pieces) else (piece[-1].offset() or 0) + 1
            done = self._projected(place, piece)
            if touched is not None:
                touched.note(done.changes)
            self._take(place, done.changes, end)

    def _projected(self, place: Place, messages: Sequence[Message]) -> Projected:
        window = self._window
        kept = messages if window is None else [message for message in messages if window.holds(message)]
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

    def _take(self, place: Place, changes: Mapping[Key, Change], following: int) -> None:
        """Have the changes, and the position after them."""
        raise NotImplementedError

    def _settle(self) -> None:
        """Wait for what still runs, whatever comes of it."""

    def _finish(self) -> None:
        """Raise what came of what ran."""


class MemoryFold(Folding):
    """A fold in this process's memory; of all rows, or of those that `keep` names."""

    def __init__(
        self,
        projection: Projection,
        codec: Codec,
        log: LogReader,
        *,
        keep: Keep | None = None,
        window: Window = EVERYTHING,
        places: Collection[Place] | None = None,
    ) -> None:
        super().__init__(projection, codec, log, batch=MEMORY_RECORDS, window=window, places=places)
        self.kept = MemoryRows(projection.model)
        self._keep = keep

    def rows(self) -> Iterator[Row]:
        """Every row, as readers see it now."""
        return self.kept.scan(now())

    def row(self, key: Key) -> Row | None:
        """One row, as readers see it now."""
        return self.kept.get(key, now())

    def _take(self, place: Place, changes: Mapping[Key, Change], following: int) -> None:
        keep = self._keep
        self.kept.apply(changes if keep is None else {key: change for key, change in changes.items() if keep(key)})
        self.at[place] = following


def now() -> datetime:
    # Entries of feeds expire by the clock, for whoever reads them.
    return datetime.fromtimestamp(time.time(), UTC)
