"""Holds a live read model against an independent fold of the log at the model's own position.

The fold is the one in memory that every store is tested against, not a second version in the same store: a row that
somebody changed is found, and so is one that the store's adapter wrote wrongly. Nothing is written anywhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from eventlog.codec import Codec
from eventlog.errors import BadInput, OnefactError
from eventlog.position import Position
from eventlog.reader import LogReader
from eventlog.registry import Registry
from eventlog.roles import Catalog, Projection
from eventlog.settings import Settings
from eventlog.sink import Store
from projections.compare import Comparer, Comparison, Difference, Kind, Moving, part_of_keys, progress_of
from projections.finding import projection_of
from projections.folding import MemoryFold, Place
from projections.stores import OpenStore, open_store


@dataclass(frozen=True)
class Verified:
    """What came of a verification. Equal digests mean equal rows; of a model that moves they are of what stood."""

    model: str
    version: int
    identical: bool
    position: str
    """Of the live model when the last of its rows was looked at."""
    rows: int
    """That the log says there are."""
    records: int
    """That were folded, once for every pass."""
    dead: int
    """Records that could not be read; their dead letters were written when they were first met."""
    seconds: float
    digest_live: str
    digest_folded: str
    changed: int = 0
    missing: int = 0
    extra: int = 0
    differences: list[Difference] = field(default_factory=list)
    """The first ten of the rows that differ, by their keys."""

    @property
    def differing(self) -> int:
        return self.changed + self.missing + self.extra


OnVerify = Callable[[int, int], None]
"""Told how many offsets are folded, and how many there are to fold."""


def verify(
    model_name: str,
    settings: Settings | None = None,
    *,
    passes: int = 1,
    on_progress: OnVerify | None = None,
    catalog: Catalog | None = None,
    stores: OpenStore = open_store,
) -> Verified:
    """Compare the live model with the log, whether or not workers go on meanwhile.

    Rows of the fold are held in memory; with `passes` only a part of them at a time, and the log is read so many
    times. Raises `NotFound`, `ServiceAway`, `BadInput`, `OnefactError` (a row never stood still).
    """
    if passes < 1:
        raise BadInput(f"a verification takes one pass or more, not {passes}")
    settings = (settings or Settings()).required("kafka", "registry")
    if catalog is None:
        from eventlog.discovery import catalog as discovered

        catalog = discovered()
    projection = projection_of(catalog, model_name)
    store = stores(projection.model.store, settings)
    try:
        with Registry(settings.registry) as registry:
            codec = Codec(registry, catalog.message_types, catalog.upcasters)
            return _Verifying(projection, settings, store, codec, on_progress).run(passes)
    finally:
        store.close()


class _Verifying:
    """One run, at the version that is live when it begins."""

    def __init__(
        self, projection: Projection, settings: Settings, store: Store, codec: Codec, on_progress: OnVerify | None
    ) -> None:
        self._projection = projection
        self._model = projection.model
        self._settings = settings
        self._store = store
        self._codec = codec
        self._on_progress = on_progress
        self._version = store.live_version(projection.model)
        self.records = self.dead = 0

    def run(self, passes: int) -> Verified:
        started = time.monotonic()
        found = Comparison()
        for number in range(passes):
            found.merge(self._one(number, passes))
        position = Position(progress_of(self._store, self._model, self._version))
        return Verified(
            model=self._model.name,
            version=self._version,
            identical=found.identical,
            position=str(position),
            rows=found.rows,
            records=self.records,
            dead=self.dead,
            seconds=round(time.monotonic() - started, 3),
            digest_live=found.digest_live,
            digest_folded=found.digest_rebuilt,
            differences=found.sample,
            **{kind: found.counts[kind] for kind in _KINDS},
        )

    def _one(self, number: int, passes: int) -> Comparison:
        keep = None if passes == 1 else part_of_keys(number, passes)
        with LogReader(self._settings) as log:
            fold = MemoryFold(self._projection, self._codec, log, keep=keep)
            try:
                target = progress_of(self._store, self._model, self._version)
                reached = dict.fromkeys(target, 0)

                def on_advance(place: Place, following: int) -> None:
                    reached[place] = following
                    if self._on_progress is not None:
                        done, total = sum(reached.values()), sum(target.values())
                        self._on_progress(number * total + done, passes * total)

                fold.fold(target, on_advance=on_advance)
                fold.follow(self._settings)
                return Comparer(self._store, self._version, fold, keep).compare()
            except Moving:
                raise OnefactError(
                    f"{self._model.name} kept moving: a row that seemed to differ could not be looked at twice between "
                    "two facts of its own; try when fewer come in"
                ) from None
            finally:
                fold.unfollow()
                self.records += fold.records
                self.dead += fold.dead


_KINDS: tuple[Kind, ...] = ("changed", "missing", "extra")
