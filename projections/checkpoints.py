"""Makes checkpoints of read models in the archive, and finds the one that an as-of read begins with."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import wraps
from typing import TYPE_CHECKING, Any

from confluent_kafka import Message

from eventlog.archive.indexes import Checkpoint, Damaged, Index, micros, place_name, progress_of
from eventlog.archive.objects import has_extra, require_extra
from eventlog.codec import Codec
from eventlog.collector import seldom_meanwhile
from eventlog.envelope import Meta
from eventlog.errors import BadInput
from eventlog.memory import MemoryRows
from eventlog.models import Key
from eventlog.operations import Change, Operation
from eventlog.reader import LogReader
from eventlog.registry import Registry
from eventlog.roles import Catalog, Projection
from eventlog.settings import Settings
from eventlog.sink import Progress
from eventlog.steps.project import Projected
from projections.finding import projection_of
from projections.fingerprint import fold_of
from projections.folding import Folding, Place, compacted, compacted_away, stream_owns_rows, time_of
from projections.marks import alone
from projections.points import Point

if TYPE_CHECKING:
    from eventlog.archive.checkpoints import Checkpoints
    from eventlog.archive.unpacked import Unpacked

BATCH_RECORDS = 5_000

log = logging.getLogger(__name__)

OnCheckpoint = Callable[[int, int], None]
"""Told how many offsets have checkpoints, and how many there are."""


def checkpoints_of(projection: Projection, settings: Settings, unpacked: Unpacked | None = None) -> Checkpoints | None:
    """Where the model's checkpoints are; None where there can be none. Files that are read are kept in `unpacked`."""
    if not settings.s3 or not has_extra():
        return None
    from eventlog.archive.checkpoints import Checkpoints
    from eventlog.archive.objects import Objects

    return Checkpoints(Objects(settings), projection.model, fold_of(projection), unpacked)


@dataclass(frozen=True)
class Checkpointed:
    """What came of a run."""

    model: str
    made: int
    checkpoints: int
    """In all."""
    offsets: int
    """Before the newest one."""
    waiting: int
    """Offsets after it: one more is made when they are `every`."""
    every: int
    rows: int
    """Written by this run; a row that changed is written again now and then."""
    records: int


def checkpoint(
    model_name: str,
    settings: Settings | None = None,
    *,
    every: int | None = None,
    fresh: bool = False,
    on_progress: OnCheckpoint | None = None,
    catalog: Catalog | None = None,
) -> Checkpointed:
    """Make the checkpoints that the model lacks, one for every so many offsets; what follows the last one waits.

    Without a number of offsets it is the settings' `checkpoint_offsets`.
    Where files of those that there are turn out to be damaged, or with `fresh`, all are made anew; those of other folds
    are removed a day after their last run. Of a compacted topic only what is archived counts. Raises `NotFound`,
    `ServiceAway`, `HistoryGone` where records were compacted away before, `Overtaken` by a run on another host.
    """
    settings = (settings or Settings()).required("kafka", "registry", "s3")
    if catalog is None:
        from eventlog.discovery import catalog as discovered

        catalog = discovered()
    projection = projection_of(catalog, model_name)
    every = settings.checkpoint_offsets if every is None else every
    if every < 1:
        raise BadInput(f"a checkpoint is made every so many offsets, not every {every}")
    require_extra()
    kept = checkpoints_of(projection, settings)
    assert kept is not None
    with (
        alone(settings, projection.model, "checkpoints"),
        Registry(settings.registry) as registry,
        LogReader(settings, archived_first=compacted([projection])) as facts,
    ):
        kept.remove_others()
        codec = Codec(registry, catalog.message_types, catalog.upcasters)
        with seldom_meanwhile():
            return _run(lambda: Checkpointer(projection, codec, facts, kept), kept, every, on_progress, fresh=fresh)


def _run(
    begun: Callable[[], Checkpointer], kept: Checkpoints, every: int, on_progress: OnCheckpoint | None, *, fresh: bool
) -> Checkpointed:
    """One run; a second one, of all anew, where the first meets damage."""
    # Asked for before the run: what another one has begun meanwhile is none of what is damaged.
    generation = kept.generation()
    if not fresh:
        try:
            return begun().run(every, on_progress)
        except Damaged as damaged:
            log.warning("%s; checkpoints begin anew", damaged)
    kept.begin_anew(generation)
    return begun().run(every, on_progress)


class Checkpointer(Folding):
    """Folds interval after interval. In memory are the rows that an interval touches, and what it does to them."""

    def __init__(self, projection: Projection, codec: Codec, log: LogReader, kept: Checkpoints) -> None:
        self._owned = stream_owns_rows(projection)
        super().__init__(self._watched(projection) if self._owned else projection, codec, log, batch=BATCH_RECORDS)
        self._kept = kept
        self._sources = projection.sources
        self._batches: list[Mapping[Key, Change]] = []
        self._seen: dict[Place, list[int]] = {}
        self._projection = projection
        self._compacted = {source.name: source for source in projection.sources if source.compacted}
        self._seen_to: Progress = {}

    def run(self, every: int, on_progress: OnCheckpoint | None) -> Checkpointed:
        """Make what is missing, up to what is in the log now."""
        topics = {source.name: self._log.topic_id(source.name) for source in self._sources}
        index = self._kept.taken_up()
        if index.topics not in ({}, topics):
            self._kept.begin_anew(index.generation)  # those are of a log that is no more
            index = self._kept.index()
        ends = {
            (topic, partition): self._log.archived_end(topic, partition)
            if topic in self._compacted
            else self._log.bounds(topic, partition)[1]
            for topic, partition in self.places
        }
        made = rows = 0
        if index.checkpoints:
            self.at = progress_of(index.checkpoints[-1])
        self._seen_to = {place: self.at.get(place, 0) for place in self.places if place[0] in self._compacted}
        while (left := sum(ends.values()) - sum(self.at.values())) >= every:
            index = self._interval(index, further(self.at, ends, min(every, left)), topics)
            made, rows = made + 1, rows + index.checkpoints[-1].rows
            if on_progress is not None:
                on_progress(sum(self.at.values()), sum(ends.values()))
        at = sum(self.at.values())
        return Checkpointed(self.model.name, made, len(index.checkpoints), at, left, every, rows, self.records)

    def _interval(self, index: Index, target: Progress, topics: dict[str, str]) -> Index:
        self._batches, self._seen = [], {}
        self.fold(target)
        for place in self._seen_to:
            self._require_no_gap(place, target[place])
        touched = {key for changes in self._batches for key in changes}
        rows, number = MemoryRows(self.model), len(index.checkpoints)
        for key, columns in self._kept.rows_of(index, number, touched):
            rows.seed(key, columns)
        for changes in self._batches:
            rows.apply(changes)
        changed = {key: rows.kept(key) for key in touched}
        latest = dict(index.checkpoints[-1].latest) if index.checkpoints else {}
        for place, times in self._seen.items():
            name = place_name(*place)
            latest[name] = max(times[1], latest.get(name, times[1]))
        earliest = {place_name(*place): times[0] for place, times in self._seen.items()}
        following = {place_name(*place): offset for place, offset in target.items()}
        made = Checkpoint(number + 1, following, latest, earliest, [], 0)
        return self._kept.add(index, made, changed, topics, self._owned)

    def _projected(self, place: Place, messages: Sequence[Message]) -> Projected:
        if place in self._seen_to:
            for message in messages:
                self._require_no_gap(place, message.offset() or 0)
                self._seen_to[place] = (message.offset() or 0) + 1
        times = [micros(time) for message in messages if (time := time_of(message)) is not None]
        if times:
            seen = self._seen.setdefault(place, [times[0], times[0]])
            seen[:] = min(seen[0], *times), max(seen[1], *times)
        return super()._projected(place, messages)

    def _watched(self, projection: Projection) -> Projection:
        """The same, noting of each fact whether it changes rows of its own stream alone."""

        @wraps(projection.on)
        def on(event: Any, meta: Meta) -> list[Operation]:
            operations = list(projection.on(event, meta))
            if any(operation.key[0] != meta.stream for operation in operations):
                self._owned = False
            return operations

        return replace(projection, on=on)

    def _require_no_gap(self, place: Place, offset: int) -> None:
        """One missing offset is a transaction's marker; more may have been records."""
        if offset > self._seen_to[place] + 1:
            raise compacted_away(self._projection, self._compacted[place[0]])

    def _take(self, place: Place, changes: Mapping[Key, Change], following: int) -> None:
        if changes:
            self._batches.append(changes)
        self.at[place] = following


def further(at: Progress, ends: Progress, offsets: int) -> Progress:
    """Where so many offsets more lead to: every partition by its share, so that what lies together in time stays so."""
    left = {place: end - at.get(place, 0) for place, end in ends.items()}
    total = sum(left.values())
    shares = {place: offsets * each // total for place, each in left.items()}
    by_rest = sorted(left, key=lambda place: (-(offsets * left[place] % total), place))
    for place in by_rest[: offsets - sum(shares.values())]:
        shares[place] += 1
    return {place: at.get(place, 0) + share for place, share in shares.items()}


@dataclass(frozen=True)
class Base:
    """What a fold as of a point begins with, and which stretches of a partition it still has to read."""

    number: int
    """0 is the empty model before all facts."""
    stretches: dict[Place, list[tuple[int, int | None]]]
    """(begin, end) in order; None is the log's end. What cannot hold a fact of the point is not among them."""


def base_of(index: Index, places: Collection[Place], point: Point, limits: Mapping[Place, int]) -> Base:
    """The last checkpoint that has nothing after the point in these places, and what follows it.

    `limits` are the point's offsets, where it is a position. Facts go by their own times, which the log does not: a
    time may have facts anywhere after the checkpoint, but where their earliest is known to be later.
    """
    until = micros(point) if isinstance(point, datetime) else None

    def before(checkpoint: Checkpoint) -> bool:
        """Whether all that it has is of the point."""
        for place in places:
            name = place_name(*place)
            if until is None and checkpoint.next.get(name, 0) > limits.get(place, 0):
                return False
            if until is not None and checkpoint.latest.get(name, until) > until:
                return False
        return True

    kept = index.checkpoints
    number = max((each.number for each in kept if before(each)), default=0)
    stretches: dict[Place, list[tuple[int, int | None]]] = {}
    for place in places:
        name = place_name(*place)
        at, found = (kept[number - 1].next.get(name, 0) if number else 0), list[tuple[int, int | None]]()
        for each in kept[number:]:
            begin, at = at, each.next.get(name, 0)
            held = begin < limits.get(place, 0) if until is None else each.earliest.get(name, until + 1) <= until
            if held and begin < at:
                found.append((begin, at))
        if until is not None or at < limits.get(place, 0):
            found.append((at, None))
        stretches[place] = found
    return Base(number, stretches)
