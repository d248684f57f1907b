"""What a fold as of a point begins with: the nearest checkpoint that can be read, or the beginning of the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, NamedTuple

from eventlog.archive.indexes import Damaged
from eventlog.archive.unpacked import Unpacked
from eventlog.errors import ServiceAway
from eventlog.memory import MemoryRows
from eventlog.models import Key
from eventlog.reader import LogReader
from eventlog.roles import Projection
from eventlog.settings import Settings
from projections.checkpoints import Base, base_of, checkpoints_of
from projections.folding import Place
from projections.points import Point

if TYPE_CHECKING:
    from eventlog.archive.checkpoints import Checkpoints

AWAY_S = 60.0
"""So long an object store that did not answer is left alone: each read would wait for it."""

log = logging.getLogger(__name__)


class Began(NamedTuple):
    """What a fold begins with."""

    base: Base
    rows: MemoryRows
    """Of the checkpoint: those of one first column of the key, or all."""
    owned: bool = True
    """So far as is known, rows of a stream are changed by its own facts alone."""


class Nearest:
    """Finds where to begin, for all models of one reader; used by one thread at a time.

    The log has all that checkpoints have: where one is damaged or gone, or the object store is away, folds begin there.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._checkpoints: dict[str, Checkpoints | None] = {}
        self._asked_again = 0.0
        """From then on, by the monotonic clock, an object store that did not answer is asked again."""
        self._unpacked = Unpacked()
        self._topic_ids: dict[str, str] = {}
        self._said: set[str] = set()

    def begin(
        self,
        projection: Projection,
        facts: LogReader,
        places: Collection[Place],
        point: Point,
        limits: Mapping[Place, int],
        first: Key,
    ) -> Began:
        """The nearest checkpoint before the point with its rows, those whose key begins with `first`."""
        kept = self._kept(projection)
        if kept is not None and time.monotonic() >= self._asked_again:
            try:
                began = self._read(kept, projection, facts, places, point, limits, first)
            except ServiceAway as away:
                if away.service != "s3":
                    raise
                self._asked_again = time.monotonic() + AWAY_S
                log.warning("%s; for %d s all is folded from the log, which takes longer", away, AWAY_S)
            except Damaged as damaged:
                self._say(projection.model.name, str(damaged))
            else:
                if began is not None:
                    return began
        return Began(Base(0, {place: [(0, None)] for place in places}), MemoryRows(projection.model))

    def _kept(self, projection: Projection) -> Checkpoints | None:
        name = projection.model.name
        if name not in self._checkpoints:
            self._checkpoints[name] = checkpoints_of(projection, self._settings, self._unpacked)
        return self._checkpoints[name]

    def _read(
        self,
        kept: Checkpoints,
        projection: Projection,
        facts: LogReader,
        places: Collection[Place],
        point: Point,
        limits: Mapping[Place, int],
        first: Key,
    ) -> Began | None:
        """None where the checkpoints are of another log."""
        index = kept.index()
        for topic in index.topics.keys() - self._topic_ids.keys():
            self._topic_ids[topic] = facts.topic_id(topic)
        if any(self._topic_ids[topic] != known for topic, known in index.topics.items()):
            return None
        base, rows = base_of(index, places, point, limits), MemoryRows(projection.model)
        if base.number:
            of_key = kept.rows(index, base.number, first[0]).items() if first else None
            for key, columns in kept.every_row(index, base.number) if of_key is None else of_key:
                rows.seed(key, columns)
        return Began(base, rows, index.owned)

    def _say(self, model: str, damage: str) -> None:
        """Once, however often it is met."""
        if damage not in self._said:
            self._said.add(damage)
            log.warning("%s; %s is folded from the log, which takes longer", damage, model)
