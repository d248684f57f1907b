"""Builds a read model anew from the log, beside the live one, and puts it in its place once it is proved equal.

The live version is untouched until the switch, which is atomic for readers. The version that was live stays
until the next replay, for whoever is reading it, and for `rollback`. A replay that was paused or killed goes on where
it was, if the code is still the same; a version that was built `until` a point is removed by the next replay.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import NoReturn

from eventlog.codec import Codec
from eventlog.digest import digest
from eventlog.errors import NotFound, OnefactError, ServiceAway
from eventlog.position import Position
from eventlog.reader import LogReader
from eventlog.registry import Registry
from eventlog.roles import Catalog, Projection
from eventlog.settings import Settings
from eventlog.sink import Progress, Store
from projections import building
from projections.compare import Comparer, Comparison, Moving, progress_of
from projections.finding import projection_of
from projections.fingerprint import fold_of
from projections.folding import EVERYTHING, Window
from projections.lineage import Deadline
from projections.marks import MIXED, UNLIKE, Building, Marks, alone
from projections.parts import Part, targets
from projections.points import parse_point
from projections.progress import OnProgress, ReplayProgress, Teller
from projections.rebuild import Rebuild
from projections.results import ReplayResult
from projections.stores import OpenStore, open_store

__all__ = ["OnDifference", "Paused", "ReplayProgress", "ReplayResult", "replay", "rollback"]

SWITCH_TIMEOUT_S = 60.0
"""So long a rebuilt version tries to catch up with a live one that keeps moving."""

OnDifference = Callable[[Comparison], bool]
"""Shown what differs before anything is switched; whether to switch all the same."""


class KeptMoving(OnefactError):
    """The live version did not stand still for long enough; what was built stays for the next call."""


class Paused(OnefactError):
    """The replay was interrupted; what it has built stays, and the same call goes on with it."""


def replay(
    model_name: str,
    settings: Settings | None = None,
    *,
    since: str | datetime | Position | None = None,
    until: str | datetime | Position | None = None,
    accept_differences: bool = False,
    on_difference: OnDifference | None = None,
    fresh: bool = False,
    workers: int | None = None,
    on_progress: OnProgress | None = None,
    catalog: Catalog | None = None,
    stores: OpenStore = open_store,
) -> ReplayResult:
    """Rebuild the model, compare, switch; with `since` or `until` build a version of a part of the log beside it.

    A rebuilt version that differs is not switched, and kept for a look, unless `accept_differences`; `on_difference`
    is shown what differs before, and may still say no. `fresh` begins anew where an interrupted replay could go on.
    `workers` are processes that share the partitions; by default as many as there are cores, where there is enough to
    fold. Raises `NotFound`, `Paused`, `ServiceAway`, `OnefactError` (another replay runs, live kept moving); live is
    then as it was.
    """
    part = Part(since if since is None else parse_point(since), until if until is None else parse_point(until))
    with _running(model_name, settings, catalog, stores, on_progress) as run:
        if part.whole:
            return run.rebuild(accept_differences, on_difference, fresh=fresh, workers=workers)
        return run.build_part(part, fresh=fresh, workers=workers)


def rollback(
    model_name: str,
    settings: Settings | None = None,
    *,
    accept_differences: bool = False,
    on_progress: OnProgress | None = None,
    catalog: Catalog | None = None,
    stores: OpenStore = open_store,
) -> ReplayResult:
    """Make the version live again that was live before the last switch, brought up to where the live one is.

    Readers never go back in the log. What came since the switch is folded by the code that is installed here; where
    that is known not to be what built the version, nothing is done unless `accept_differences`. A second rollback
    goes forth again. Raises as `replay` does, `NotFound` where there is no such version.
    """
    with _running(model_name, settings, catalog, stores, on_progress) as run:
        return run.back(accept_differences)


@contextmanager
def _running(
    model_name: str,
    settings: Settings | None,
    catalog: Catalog | None,
    stores: OpenStore,
    on_progress: OnProgress | None,
) -> Iterator[_Replay]:
    settings = (settings or Settings()).required("kafka", "registry")
    if catalog is None:
        from eventlog.discovery import catalog as discovered

        catalog = discovered()
    projection = projection_of(catalog, model_name)
    with ExitStack() as stack:
        store = stores(projection.model.store, settings)
        stack.callback(store.close)
        lock = stack.enter_context(alone(settings, projection.model))
        registry = stack.enter_context(Registry(settings.registry))
        codec = Codec(registry, catalog.message_types, catalog.upcasters)
        yield _Replay(projection, catalog, settings, store, codec, lock, Teller(on_progress))


class _Replay:
    """One run."""

    def __init__(
        self,
        projection: Projection,
        catalog: Catalog,
        settings: Settings,
        store: Store,
        codec: Codec,
        lock: int,
        teller: Teller,
    ) -> None:
        self._projection = projection
        self._model = projection.model
        self._catalog = catalog
        self._settings = settings
        self._store = store
        self._codec = codec
        self._lock = lock
        self._teller = teller
        self._started = time.monotonic()
        self._began_at: Progress = {}
        self._elsewhere = building.Done()
        self._marks = Marks.load(settings, projection.model)
        self._fold = fold_of(projection)

    def rebuild(
        self, accept_differences: bool, on_difference: OnDifference | None, *, fresh: bool, workers: int | None
    ) -> ReplayResult:
        live = self._begin(keep_building="" if not fresh else None)
        with self._building("", progress_of(self._store, self._model, live), EVERYTHING, {}, workers) as rebuild:
            rebuild.follow(self._settings)
            comparer = Comparer(self._store, live, rebuild)
            self._teller.phase("comparing")
            try:
                found = comparer.compare()
            except Moving:
                self._kept_moving()
            switched = found.identical or (accept_differences and (on_difference is None or on_difference(found)))
            if switched:
                self._teller.phase("switching")
                self._switch(comparer, rebuild.version, live)
                self._marks.switched(live, rebuild.version, self._fold, identical=found.identical)
                self._save()
            result = self._result(rebuild, live, found, switched=switched)
        if switched:
            self._drop_others({live, rebuild.version})
        return result

    def build_part(self, part: Part, *, fresh: bool, workers: int | None) -> ReplayResult:
        live = self._begin(keep_building=None if fresh else str(part))
        start, target = targets(part, self._projection, self._settings, self._catalog)
        with self._building(str(part), target, part.window, start, workers) as rebuild:
            rows, found = digest(rebuild.rows())
            result = self._result(rebuild, live, Comparison(rows, "", found), switched=False, compared=False)
        self._marks.building = None
        self._save()
        return result

    def back(self, accept_differences: bool) -> ReplayResult:
        self._store.prepare([self._model])
        live = self._store.live_version(self._model)
        wanted = self._previous(live)
        if wanted is None:
            raise NotFound(f"there is no version of {self._model.name} beside {live} to go back to")
        target = progress_of(self._store, self._model, live)
        with (
            LogReader(self._settings) as log,
            Rebuild(self._projection, self._store, wanted, self._codec, log) as rebuild,
        ):
            self._began_at = dict(rebuild.at)
            if self._foreign(wanted, target, log):
                if not accept_differences:
                    raise OnefactError(self._refused(wanted))
                self._marks.folds[str(wanted)] = MIXED
            self._teller.begin(rebuild.at, target)
            rebuild.fold(target, on_advance=self._teller.advance)
            self._teller.built()
            rebuild.follow(self._settings)
            self._teller.phase("switching")
            self._switch(Comparer(self._store, live, rebuild), wanted, live)
            self._marks.previous = live
            self._save()
            return self._result(rebuild, live, Comparison(), switched=True, compared=False)

    def _previous(self, live: int) -> int | None:
        """The version that was live before, also where whoever switched died before noting it."""
        there = self._store.versions(self._model)
        begun, noted = self._marks.building, self._marks.previous
        if noted in there and noted != live and (begun is None or begun.version != live):
            return noted
        others = [version for version in there if version != live and (begun is None or version != begun.version)]
        older = [version for version in others if version < live]
        return max(older or others, default=None)

    def _foreign(self, wanted: int, target: Progress, log: LogReader) -> bool:
        """Whether there are records to be folded into the version by code that is not its own."""
        at = self._began_at
        if ahead := [place for place, offset in at.items() if offset > target.get(place, 0)]:
            raise OnefactError(f"version {wanted} of {self._model.name} is ahead of the live one in {ahead}")
        known = self._marks.folds.get(str(wanted), self._fold)
        foreign = known == UNLIKE + self._fold or (known != self._fold and not known.startswith(UNLIKE))
        return foreign and log.waiting({place: (at.get(place, 0), end) for place, end in target.items()}) > 0

    def _refused(self, wanted: int) -> str:
        stood = Position({place: n for place, n in self._began_at.items() if n})
        return (
            f"version {wanted} of {self._model.name} stands at {stood}, and was folded by other code than is installed "
            "here: what came since would be folded by this one. Deploy the code of that version, to the workers and "
            "here, and try again; or say --expect-change, and have both folds in one version"
        )

    def _begin(self, keep_building: str | None) -> int:
        """Make the store ready and remove what dead replays left, unless it is of use; the live version."""
        self._store.prepare([self._model])
        live = self._store.live_version(self._model)
        previous, begun = self._previous(live), self._marks.building
        kept = {live, live if previous is None else previous}
        if begun is not None:
            same = (begun.what, begun.fold) == (keep_building, self._begun_fold())
            if same and begun.version != live and begun.version in self._store.versions(self._model):
                kept.add(begun.version)
            else:
                self._marks.building = None
        self._marks.previous = previous
        self._drop_others(kept)
        return live

    def _begun_fold(self) -> str:
        """What goes on with a version must be the same to the byte, the kernel included."""
        return fold_of(self._projection, kernel=True)

    def _drop_others(self, kept: set[int]) -> None:
        for version in self._store.versions(self._model):
            if version not in kept:
                self._store.drop_version(self._model, version)

    @contextmanager
    def _building(
        self, what: str, target: Progress, window: Window, start: Progress, workers: int | None
    ) -> Iterator[Rebuild]:
        """The version at its target: a new one, or the one that was begun.

        It stays where an interruption or an absent service ends it; anything else removes it.
        """
        begun = self._marks.building
        version = begun.version if begun else self._store.create_version(self._model)
        self._marks.building = Building(version, self._begun_fold(), what)
        self._save()
        try:
            self._build_apart(version, target, window, start, workers)
            with (
                LogReader(self._settings) as log,
                Rebuild(self._projection, self._store, version, self._codec, log, window=window) as made,
            ):
                self._began_at = self._began_at or (dict(made.at) if begun else {})
                made.begin_at(start)
                if not self._elsewhere.records:
                    self._teller.begin(made.at, target)
                made.fold(target, on_advance=self._teller.advance)
                self._teller.built()
                yield made
        except KeyboardInterrupt:
            if self._store.live_version(self._model) == version:
                raise
            raise Paused(self._paused(version)) from None
        except (ServiceAway, KeptMoving):
            raise
        except BaseException:
            if self._store.live_version(self._model) != version:
                self._store.drop_version(self._model, version)
            self._marks.building = None
            self._save()
            raise

    def _build_apart(
        self, version: int, target: Progress, window: Window, start: Progress, workers: int | None
    ) -> None:
        """Have processes build most of it, where that is worth it."""
        at = {**start, **progress_of(self._store, self._model, version)}
        left = {place: end - at.get(place, 0) for place, end in target.items()}
        number = building.workers_for(left, workers)
        if number < 2 or start:
            return
        self._began_at = progress_of(self._store, self._model, version)
        self._teller.begin(at, target)
        parts = [{place: target[place] for place in places} for places in building.shares(left, number)]
        done = building.build(
            self._projection, self._catalog, self._settings, version, window, parts, self._teller.advance, self._lock
        )
        if done is not None:
            self._elsewhere = done

    def _switch(self, comparer: Comparer, version: int, live: int) -> None:
        """Try until the live version stands still for the moment that catching up and switching take."""
        deadline = Deadline(SWITCH_TIMEOUT_S)
        while not self._store.switch(self._model, version, comparer.catch_up()):
            if self._store.live_version(self._model) != live:
                raise OnefactError(f"{self._model.name} was switched by another replay; this one changes nothing")
            if not deadline.pause():
                self._kept_moving()

    def _save(self) -> None:
        self._marks.save(self._settings, self._model)

    def _kept_moving(self) -> NoReturn:
        raise KeptMoving(
            f"{self._model.name} kept moving: the rebuilt version could not be put in its place within "
            f"{SWITCH_TIMEOUT_S:g} s; nothing was switched. Try when fewer facts come in"
        )

    def _paused(self, version: int) -> str:
        at = Position(progress_of(self._store, self._model, version))
        return f"paused: version {version} of {self._model.name} stands at {at}; the same command goes on from there"

    def _result(
        self, rebuild: Rebuild, live: int, found: Comparison, *, switched: bool, compared: bool = True
    ) -> ReplayResult:
        records = rebuild.records + self._elsewhere.records
        return ReplayResult(
            model=self._model.name,
            version=rebuild.version,
            previous=live,
            switched=switched,
            identical=found.identical if compared else None,
            rows=found.rows,
            records=records,
            dead=rebuild.dead + self._elsewhere.dead,
            seconds=round(time.monotonic() - self._started, 3),
            rate=round(records / max(self._teller.seconds, 1e-3)),
            digest_live=found.digest_live if compared else None,
            digest_rebuilt=found.digest_rebuilt,
            position=str(Position({place: n for place, n in rebuild.at.items() if n})),
            began_at=str(Position({place: n for place, n in self._began_at.items() if n})),
            differing=found.differing,
            changed=found.counts["changed"],
            missing=found.counts["missing"],
            extra=found.counts["extra"],
            differences=found.named,
            sample=found.sample,
        )
