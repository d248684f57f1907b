"""Builds a read model anew from the log, beside the live one, and puts it in its place once it is proved equal.

The live version is untouched until the switch, which is atomic for readers. The version that was live stays
until the next replay, for whoever is reading it, and for `rollback`. A replay that was paused or killed goes on where
it was, if the code is still the same; a version that was built `until` a point is removed by the next other replay.
What another host or home folder began is left to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from eventlog.digest import digest
from eventlog.errors import OnefactError, ServiceAway
from eventlog.models import Model
from eventlog.position import Position
from eventlog.reader import LogReader
from eventlog.roles import Catalog
from eventlog.settings import Settings
from eventlog.sink import Progress
from projections import building
from projections.compare import Comparer, Comparison, Moving, progress_of
from projections.fingerprint import fold_of
from projections.folding import EVERYTHING, Window, compacted
from projections.marks import Note
from projections.parts import Part, targets
from projections.points import parse_point
from projections.progress import OnProgress, ReplayProgress
from projections.rebuild import Rebuild
from projections.results import ReplayResult
from projections.stores import OpenStore, open_store
from projections.versions import KeptMoving, Versions, held, position_text

__all__ = ["OnDifference", "Paused", "ReplayProgress", "ReplayResult", "replay"]

OnDifference = Callable[[Comparison], bool]
"""Shown what differs before anything is switched; whether to switch all the same."""


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
    is shown what differs before, and may still say no. `fresh` begins anew where an interrupted replay could go on, and
    removes what other hosts or home folders began, without which nothing is done where there is any.
    `workers` are processes that share the partitions; by default as many as there are cores, where there is enough to
    fold. Raises `NotFound`, `Paused`, `ServiceAway`, `OnefactError` (another replay runs, live kept moving); live is
    then as it was.
    """
    part = Part(since if since is None else parse_point(since), until if until is None else parse_point(until))
    with held(model_name, settings, catalog, stores, on_progress) as versions:
        run = _Replay(versions)
        if part.whole:
            return run.rebuild(accept_differences, on_difference, fresh=fresh, workers=workers)
        return run.build_part(part, fresh=fresh, workers=workers)


class _Replay:
    """One run."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions
        self._projection = versions.projection
        self._model = versions.projection.model
        self._store = versions.store
        self._marks = versions.marks
        self._teller = versions.teller
        self._elsewhere = building.Done()
        # What goes on with a version must be the same to the byte, the kernel included.
        self._fold = fold_of(versions.projection, kernel=True)

    def rebuild(
        self, accept_differences: bool, on_difference: OnDifference | None, *, fresh: bool, workers: int | None
    ) -> ReplayResult:
        versions, live = self._versions, self._versions.live
        begun = self._begin("", fresh=fresh)
        target = progress_of(self._store, self._model, live)
        with self._building(begun, "", target, EVERYTHING, {}, workers) as rebuild:
            rebuild.follow(versions.settings)
            comparer = Comparer(self._store, live, rebuild)
            self._teller.phase("comparing")
            try:
                found = comparer.compare()
            except Moving:
                versions.kept_moving()
            switched = found.identical or (accept_differences and (on_difference is None or on_difference(found)))
            if switched:
                versions.switch(comparer, rebuild.version)
                self._marks.switched(live, rebuild.version, versions.fold, identical=found.identical)
                versions.save()
            result = self._result(rebuild, found, switched=switched)
        if switched:
            versions.drop_others({live, rebuild.version, *versions.strange()})
        return result

    def build_part(self, part: Part, *, fresh: bool, workers: int | None) -> ReplayResult:
        versions = self._versions
        begun = self._begin(str(part), fresh=fresh)
        start, target = targets(part, self._projection, versions.settings, versions.catalog)
        with self._building(begun, str(part), target, part.window, start, workers) as rebuild:
            rows, found = digest(rebuild.rows())
            return self._result(rebuild, Comparison(rows, "", found), switched=False, compared=False)

    def _begin(self, what: str, *, fresh: bool) -> int | None:
        """Remove what dead replays left, unless it can be gone on with: then say which version that is."""
        versions = self._versions
        strange = versions.strange()
        if strange and not fresh:
            raise OnefactError(_strange(self._model, strange))
        wanted = Note(self._marks.home, self._fold, what)
        same = [] if fresh else [version for version, note in versions.notes().items() if note == wanted]
        begun = max(same, default=None)
        versions.drop_others({versions.live, versions.previous or versions.live, begun or versions.live})
        return begun

    @contextmanager
    def _building(
        self, begun: int | None, what: str, target: Progress, window: Window, start: Progress, workers: int | None
    ) -> Iterator[Rebuild]:
        """The version at its target: a new one, or the one that was begun.

        It stays where an interruption or an absent service ends it; anything else removes it.
        """
        versions = self._versions
        versions.save()  # this home's name, under which the version is noted
        note = Note(self._marks.home, self._fold, what)
        version = begun or self._store.create_version(self._model, str(note))
        try:
            # A whole model is what the newest records come to; of a part, those that were compacted away count.
            archived_first = compacted([self._projection]) if what else ()
            if not archived_first:
                self._build_apart(version, target, window, start, workers)
            with (
                LogReader(versions.settings, archived_first=archived_first) as log,
                Rebuild(self._projection, self._store, version, versions.codec, log, window=window) as made,
            ):
                if begun and not versions.began_at:
                    versions.began_at = dict(made.at)
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
        except building.ProcessKilled as killed:
            raise Paused(f"{killed}; {self._paused(version)}") from None
        except (ServiceAway, KeptMoving):
            raise
        except BaseException:
            if version in versions.notes():  # or it has been live
                self._store.drop_version(self._model, version)
            raise

    def _build_apart(
        self, version: int, target: Progress, window: Window, start: Progress, workers: int | None
    ) -> None:
        """Have processes build most of it, where that is worth it."""
        versions, at = self._versions, progress_of(self._store, self._model, version)
        left = {place: end - at.get(place, 0) for place, end in target.items()}
        number = building.workers_for(left, workers)
        if number < 2 or start:
            return
        versions.began_at = at
        self._teller.begin(at, target)
        parts = [{place: target[place] for place in places} for places in building.shares(left, number)]
        done = building.build(versions, version, window, parts)
        if done is not None:
            self._elsewhere = done

    def _paused(self, version: int) -> str:
        at = position_text(progress_of(self._store, self._model, version))
        return f"paused: version {version} of {self._model.name} stands at {at}; the same command goes on from there"

    def _result(self, rebuild: Rebuild, found: Comparison, *, switched: bool, compared: bool = True) -> ReplayResult:
        records, dead = rebuild.records + self._elsewhere.records, rebuild.dead + self._elsewhere.dead
        return self._versions.result(rebuild, found, switched=switched, compared=compared, records=records, dead=dead)


def _strange(model: Model, found: dict[int, Note]) -> str:
    said = ", ".join(
        f"version {version} ({f'part {note.what}' if note.what else 'a rebuild'}, by {note.host})"
        for version, note in found.items()
    )
    return (
        f"another host or home folder has begun of {model.name}: {said}. It may be under construction, or be read: let "
        "it be finished there, or say --fresh to have it removed"
    )
