"""Folds single rows of a live model anew, where they are not what the log says: after a change by hand, for one.

What is written is written only if the live model stands where the rows were folded to; otherwise it is folded on.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from confluent_kafka import Message

from eventlog.codec import Codec
from eventlog.digest import canonical
from eventlog.errors import BadInput
from eventlog.memory import MemoryRows
from eventlog.models import Feed, Key, Row, Value
from eventlog.operations import Change
from eventlog.partition import partition_of
from eventlog.reader import LogReader
from eventlog.roles import Catalog, Projection
from eventlog.settings import Settings
from eventlog.sink import Store
from eventlog.steps.project import Projected
from projections.compare import Difference, progress_of
from projections.folding import MEMORY_RECORDS, Folding, Place, now, stream_owns_rows
from projections.keys import key_of, row_key
from projections.lineage import Deadline
from projections.stores import OpenStore, open_store
from projections.versions import SWITCH_TIMEOUT_S, Versions, held, position_text


@dataclass(frozen=True)
class Mended:
    """What came of it: the rows as they were found, beside what the log says and they are now."""

    model: str
    version: int
    key: Key
    records: int
    seconds: float
    position: str
    """Of the live model when its rows were written, or found to be right."""
    mended: list[Difference] = field(default_factory=list)


def mend(
    model_name: str,
    key: Value | Sequence[Value],
    settings: Settings | None = None,
    *,
    catalog: Catalog | None = None,
    stores: OpenStore = open_store,
) -> Mended:
    """Have the live rows of a key (or its first columns) be what the log says, whether or not workers go on.

    Raises `NotFound`, `BadInput`, `ServiceAway`, `KeptMoving`.
    """
    with held(model_name, settings, catalog, stores, None) as versions, LogReader(versions.settings) as log:
        model = versions.projection.model
        wanted = key_of(model, list(key) if isinstance(key, list | tuple) else key)
        if not wanted:
            raise BadInput(f"which rows of {model.name}? Give a key, or the first columns of one")
        if isinstance(wanted[0], str) and stream_owns_rows(versions.projection):
            # The stream's own facts tell whether all is well. What is written comes of every fact: others may write
            # to its rows, which only they show.
            own = _KeyFold(versions.projection, versions.codec, log, wanted, stream=wanted[0].encode())
            try:
                return _mend(versions, own, wanted, write=False)
            except _Differs:
                pass
            finally:
                own.unfollow()
        fold = _KeyFold(versions.projection, versions.codec, log, wanted)
        try:
            return _mend(versions, fold, wanted, write=True)
        finally:
            fold.unfollow()


def _mend(versions: Versions, fold: _KeyFold, wanted: Key, *, write: bool) -> Mended:
    model, store = versions.projection.model, versions.store
    deadline = Deadline(SWITCH_TIMEOUT_S)
    while True:
        vector = progress_of(store, model, versions.live)
        fold.fold({place: end for place, end in vector.items() if place in fold.places})
        fold.follow_once(versions.settings)
        differing = _differing(store, versions.live, fold, wanted)
        if differing and not write:
            raise _Differs
        changes = {each.key: fold.whole(each.key) for each in differing}
        if not differing or store.amend(model, changes, vector):
            seconds = round(time.monotonic() - versions.started, 3)
            return Mended(model.name, versions.live, wanted, fold.records, seconds, position_text(vector), differing)
        if not deadline.pause():
            versions.kept_moving()


def _differing(store: Store, live: int, fold: _KeyFold, wanted: Key) -> list[Difference]:
    model, count = fold.model, len(wanted)
    if count == len(model.key):
        found = {wanted: store.get(model, wanted, live)}
    else:
        found = {key: row for row in store.scan(model, live) if (key := row_key(model, row))[:count] == wanted}
    pairs = [Difference(key, found.get(key), fold.row(key)) for key in sorted(found.keys() | fold.keys(), key=str)]
    return [pair for pair in pairs if _text(pair.live) != _text(pair.folded)]


def _text(row: Row | None) -> bytes | None:
    return None if row is None else canonical(row)


class _Differs(Exception):
    """The rows are not what the stream's own facts say; or the model moved on, or others write to them."""


class _KeyFold(Folding):
    """Of the rows whose key begins so: each as one change from nothing; of one stream's facts, or of all."""

    def __init__(
        self, projection: Projection, codec: Codec, log: LogReader, wanted: Key, *, stream: bytes | None = None
    ) -> None:
        self._wanted = wanted
        self._stream = stream
        places: list[Place] | None = None
        if stream is not None:
            places = [(topic.name, partition_of(stream, topic.partitions)) for topic in projection.sources]
        super().__init__(projection, codec, log, batch=MEMORY_RECORDS, places=places)
        self._changes: dict[Key, Change] = {}
        self._following = False

    def follow_once(self, settings: Settings) -> None:
        """From now on what is asked for lies close to each other."""
        if not self._following:
            self._following = True
            self.follow(settings)

    def keys(self) -> set[Key]:
        """Of rows that facts ever changed."""
        return set(self._changes)

    def row(self, key: Key, at: datetime | None = None) -> Row | None:
        """One row, as readers see it now."""
        rows = MemoryRows(self.model)
        rows.apply({key: self.whole(key)})
        return rows.get(key, at or now())

    def whole(self, key: Key) -> Change:
        """The row as one change that replaces whatever there is."""
        change = Change()
        change.remove()
        if key in self._changes:
            change.follow(self._changes[key])
        change.reset, change.append = True, False
        return change

    def _projected(self, place: Place, messages: Sequence[Message]) -> Projected:
        if self._stream is not None:
            messages = [message for message in messages if message.key() == self._stream]
        return super()._projected(place, messages)

    def _take(self, place: Place, changes: Mapping[Key, Change], following: int) -> None:
        wanted, limit = self._wanted, self.model.limit if isinstance(self.model, Feed) else 0
        for key, change in changes.items():
            if key[: len(wanted)] == wanted:
                known = self._changes.setdefault(key, Change())
                known.follow(change)
                if known.pushes is not None:
                    del known.pushes[:-limit]  # what a feed does not keep, nobody asks for again
        self.at[place] = following
