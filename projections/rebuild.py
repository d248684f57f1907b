"""A version of a read model under construction: the live task's own step and sink, fed as fast as they take it."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

from eventlog.codec import Codec
from eventlog.errors import Fenced, OnefactError, ServiceAway
from eventlog.models import Key, Row
from eventlog.operations import Change
from eventlog.reader import LogReader
from eventlog.roles import Projection
from eventlog.sink import Progress, Sink, Store
from projections.folding import EVERYTHING, Folding, Place, Touched, Window

__all__ = ["Rebuild", "RebuildDisturbed", "Touched"]

BATCH_RECORDS = {"redis": 2_000, "postgres": 10_000, "neo4j": 5_000}
"""Records of one commit. A Redis script holds up everybody else; a Postgres commit is the cheaper the larger it is."""
AWAY_TIMEOUT_S = 60.0
"""So long a rebuild waits for its store to come back."""
AWAY_PAUSE_S = 0.5


class RebuildDisturbed(OnefactError):
    """Somebody else wrote to the version that is being built."""


class Rebuild(Folding):
    """Folds the log into one version, of which it is the only owner; commits run beside the folding, in order.

    Its position lies in the version, beside the rows: one that was killed goes on where its last commit was.
    """

    def __init__(
        self,
        projection: Projection,
        store: Store,
        version: int,
        codec: Codec,
        log: LogReader,
        *,
        window: Window = EVERYTHING,
        places: Collection[Place] | None = None,
    ) -> None:
        batch = BATCH_RECORDS.get(store.name, 2_000)
        super().__init__(projection, codec, log, batch=batch, window=window, places=places)
        self.version = version
        self._store = store
        self._sinks: dict[Place, Sink] = {}
        self._running: dict[Place, Future[None]] = {}
        self._pool = ThreadPoolExecutor(max(1, len(self.places)), thread_name_prefix="rebuild")

    def __enter__(self) -> Self:
        for place in self.places:
            self._sinks[place] = sink = self._store.sink(self.model, *place, self.version)
            self.at[place] = sink.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.unfollow()
        self._pool.shutdown(wait=True, cancel_futures=True)
        for sink in self._sinks.values():
            sink.close()

    def rows(self) -> Iterator[Row]:
        """Every row, as the store shows it."""
        return self._store.scan(self.model, self.version)

    def row(self, key: Key) -> Row | None:
        """One row, as the store shows it."""
        return self._store.get(self.model, key, self.version)

    def begin_at(self, start: Progress) -> None:
        """Leave out what lies before; for a version that has nothing yet."""
        for place, offset in start.items():
            if place in self._sinks and offset > self.at[place]:
                self._commit(place, {}, offset)

    def _take(self, place: Place, changes: Mapping[Key, Change], following: int) -> None:
        previous = self._running.get(place)
        if previous is not None:
            previous.result()
        self._running[place] = self._pool.submit(self._commit, place, changes, following)

    def _settle(self) -> None:
        for future in self._running.values():
            future.exception()  # wait for all of them, whatever the first one says

    def _finish(self) -> None:
        running, self._running = self._running, {}
        for future in running.values():
            future.result()

    def _commit(self, place: Place, changes: Mapping[Key, Change], following: int) -> None:
        """Apply, waiting for a store that is away: what became of the commit, the sink's own position tells."""
        sink, before = self._sinks[place], self.at[place]
        deadline = time.monotonic() + AWAY_TIMEOUT_S
        at = before
        while at == before:
            try:
                sink.apply(changes, following)
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
