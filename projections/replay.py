"""Builds a read model anew from the log, beside the live one, and puts it in its place once it is proved equal.

The live version is untouched until the switch, which is atomic for readers. The version that was live stays
until the next replay, so that whoever is reading it can finish; what a replay that died left behind is removed
by the next one of that model, and so is a version that was built `until` a point.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from eventlog.codec import Codec
from eventlog.digest import digest
from eventlog.errors import NotFound, OnefactError
from eventlog.models import Key, Model, table_form
from eventlog.position import Position
from eventlog.reader import LogReader
from eventlog.registry import Registry
from eventlog.roles import Catalog, Projection
from eventlog.settings import Settings
from eventlog.sink import Progress, Store
from projections.compare import Comparer, Comparison, Moving, progress_of
from projections.lineage import Deadline, Lineage
from projections.points import Point, parse_point
from projections.rebuild import Rebuild
from projections.stores import open_store

SWITCH_TIMEOUT_S = 60.0
"""So long a rebuilt version tries to catch up with a live one that keeps moving."""
UNTIL_TIMEOUT_S = 30.0
"""So long a replay up to a position waits for what is made from it."""
PROGRESS_S = 0.1

OpenStore = Callable[[str, Settings], Store]


@dataclass(frozen=True)
class ReplayProgress:
    """How far a replay is; `rate` in records/s, `seconds_left` of the building alone."""

    phase: str
    """`building`, `comparing`, `switching`."""
    done: int
    total: int
    rate: float
    seconds_left: float


OnProgress = Callable[[ReplayProgress], None]


@dataclass(frozen=True)
class ReplayResult:
    """What came of a replay. `identical` is None where there is nothing to compare with (`until`)."""

    model: str
    version: int
    """The rebuilt one."""
    previous: int
    """The one that was live before."""
    switched: bool
    identical: bool | None
    rows: int
    records: int
    dead: int
    """Records that could not be read; their dead letters were written when they were first met."""
    seconds: float
    """For everything, comparison and switch included."""
    rate: float
    """Records per second of building."""
    digest_live: str | None
    digest_rebuilt: str
    position: str
    """Where the rebuilt version stood when it was switched, or was built to."""
    differing: int = 0
    differences: list[Key] = field(default_factory=list)
    """Keys whose rows differ, ten at most."""


def replay(
    model_name: str,
    settings: Settings | None = None,
    *,
    until: str | datetime | Position | None = None,
    accept_differences: bool = False,
    on_progress: OnProgress | None = None,
    catalog: Catalog | None = None,
    stores: OpenStore = open_store,
) -> ReplayResult:
    """Rebuild the model, compare, switch; or, with `until`, build a version as of a point and leave the live one.

    A rebuilt version that differs is not switched, and kept for a look, unless `accept_differences`. Raises
    `NotFound`, `ServiceAway`, `OnefactError` (another replay runs, live kept moving); live is then as it was.
    """
    settings = (settings or Settings()).required("kafka", "registry")
    if catalog is None:
        from eventlog.discovery import catalog as discovered

        catalog = discovered()
    projection = _projection(catalog, model_name)
    point = None if until is None else parse_point(until)
    store = stores(projection.model.store, settings)
    try:
        with _alone(settings, projection.model), Registry(settings.registry) as registry:
            codec = Codec(registry, catalog.message_types, catalog.upcasters)
            replaying = _Replay(projection, catalog, settings, store, codec, on_progress)
            return replaying.build_until(point) if point is not None else replaying.rebuild(accept_differences)
    finally:
        store.close()


class _Replay:
    """One run."""

    def __init__(
        self,
        projection: Projection,
        catalog: Catalog,
        settings: Settings,
        store: Store,
        codec: Codec,
        on_progress: OnProgress | None,
    ) -> None:
        self._projection = projection
        self._model = projection.model
        self._catalog = catalog
        self._settings = settings
        self._store = store
        self._on_progress = on_progress
        self._codec = codec
        self._started = time.monotonic()
        self._build_seconds = 0.0
        self._shown = 0.0
        self._done = self._total = 0

    def rebuild(self, accept_differences: bool) -> ReplayResult:
        live = self._begin()
        with self._building() as rebuild:
            self._build(rebuild, progress_of(self._store, self._model, live))
            rebuild.follow(self._settings)
            comparer = Comparer(self._store, live, rebuild)
            self._show("comparing", force=True)
            try:
                found = comparer.compare()
            except Moving:
                raise self._kept_moving() from None
            switched = found.identical or accept_differences
            if switched:
                self._show("switching", force=True)
                self._switch(comparer, rebuild, live)
            result = self._result(rebuild, live, found, switched)
        if switched:
            self._drop_others({live, rebuild.version})
        return result

    def build_until(self, point: Point) -> ReplayResult:
        live = self._begin()
        with self._building() as rebuild:
            target = self._target(point)
            self._build(rebuild, target, point if isinstance(point, datetime) else None)
            rows, found = digest(self._store.scan(self._model, rebuild.version))
            return self._result(rebuild, live, Comparison(rows, "", found), switched=False, compared=False)

    def _begin(self) -> int:
        """Make the store ready and remove what dead replays left; the live version."""
        self._store.prepare([self._model])
        live = self._store.live_version(self._model)
        older = [version for version in self._store.versions(self._model) if version < live]
        self._drop_others({live, *older[-1:]})
        return live

    def _drop_others(self, kept: set[int]) -> None:
        for version in self._store.versions(self._model):
            if version not in kept:
                self._store.drop_version(self._model, version)

    @contextmanager
    def _building(self) -> Iterator[Rebuild]:
        """A new version, removed again if anything goes wrong, an interruption from the keyboard included."""
        version = self._store.create_version(self._model)
        try:
            with (
                LogReader(self._settings) as log,
                Rebuild(self._projection, self._store, version, self._codec, log) as made,
            ):
                yield made
        except BaseException:
            if self._store.live_version(self._model) != version:
                self._store.drop_version(self._model, version)
            raise

    def _build(self, rebuild: Rebuild, target: Progress, until: datetime | None = None) -> None:
        self._total = sum(target.values())
        self._show("building", force=True)

        def on_advance(number: int) -> None:
            self._done += number
            self._show("building")

        started = time.monotonic()
        rebuild.fold(target, until=until, on_advance=on_advance)
        self._build_seconds = time.monotonic() - started

    def _target(self, point: Point) -> Progress:
        """Ends of the model's sources, or where a position ends in them."""
        lineage, deadline = Lineage(self._settings, self._catalog), Deadline(UNTIL_TIMEOUT_S)
        try:
            if isinstance(point, Position):
                lineage.check(point)
            target: Progress = {}
            for source in self._projection.sources:
                partitions = list(range(source.partitions))
                if isinstance(point, Position):
                    limits = lineage.limits(self._projection, source, point, partitions, deadline)
                    target |= {(source.name, p): min(n, lineage.end(source.name, p)) for p, n in limits.items() if n}
                else:
                    for p in partitions:
                        lineage.wait_whole(self._projection, source, p, deadline)
                        target[source.name, p] = lineage.end(source.name, p)
            return target
        finally:
            lineage.close()

    def _switch(self, comparer: Comparer, rebuild: Rebuild, live: int) -> None:
        """Try until the live version stands still for the moment that catching up and switching take."""
        deadline = Deadline(SWITCH_TIMEOUT_S)
        while not self._store.switch(self._model, rebuild.version, comparer.catch_up()):
            if self._store.live_version(self._model) != live:
                raise OnefactError(f"{self._model.name} was switched by another replay; this one changes nothing")
            if not deadline.pause():
                raise self._kept_moving()

    def _kept_moving(self) -> OnefactError:
        return OnefactError(
            f"{self._model.name} kept moving: the rebuilt version could not be put in its place within "
            f"{SWITCH_TIMEOUT_S:g} s; nothing was switched. Try when fewer facts come in"
        )

    def _show(self, phase: str, *, force: bool = False) -> None:
        now = time.monotonic()
        if self._on_progress is None or (not force and now - self._shown < PROGRESS_S):
            return
        self._shown = now
        rate = self._done / max(now - self._started, 1e-3)
        left = (self._total - self._done) / rate if rate else 0.0
        self._on_progress(ReplayProgress(phase, min(self._done, self._total), self._total, rate, max(0.0, left)))

    def _result(
        self, rebuild: Rebuild, live: int, found: Comparison, switched: bool, *, compared: bool = True
    ) -> ReplayResult:
        return ReplayResult(
            model=self._model.name,
            version=rebuild.version,
            previous=live,
            switched=switched,
            identical=found.identical if compared else None,
            rows=found.rows,
            records=rebuild.records,
            dead=rebuild.dead,
            seconds=round(time.monotonic() - self._started, 3),
            rate=round(rebuild.records / max(self._build_seconds, 1e-3)),
            digest_live=found.digest_live if compared else None,
            digest_rebuilt=found.digest_rebuilt,
            position=str(Position({place: n for place, n in rebuild.at.items() if n})),
            differing=found.differing,
            differences=found.named,
        )


def _projection(catalog: Catalog, name: str) -> Projection:
    for projection in catalog.projections:
        if table_form(projection.model.name) == table_form(name):
            return projection
    raise NotFound(f"there is no read model {name!r}; there are {', '.join(p.model.name for p in catalog.projections)}")


@contextmanager
def _alone(settings: Settings, model: Model) -> Iterator[None]:
    """Hold the model's lock in the home folder, which the system gives back however this process ends."""
    folder = settings.home / "replays"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{model.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OnefactError(f"another replay of {model.name} runs; wait for it") from None
        yield
