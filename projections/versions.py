"""Versions of a read model in the hands of one process: which are kept, which is live, what is noted of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import NoReturn

from eventlog.codec import Codec
from eventlog.errors import OnefactError
from eventlog.models import Model
from eventlog.position import Position
from eventlog.registry import Registry
from eventlog.roles import Catalog, Projection
from eventlog.settings import Settings
from eventlog.sink import Progress, Store
from projections.compare import Comparer, Comparison
from projections.finding import projection_of
from projections.fingerprint import fold_of
from projections.lineage import Deadline
from projections.marks import Marks, Note, alone
from projections.progress import OnProgress, Teller
from projections.rebuild import Rebuild
from projections.results import ReplayResult
from projections.stores import OpenStore

SWITCH_TIMEOUT_S = 60.0
"""So long a rebuilt version tries to catch up with a live one that keeps moving."""


class KeptMoving(OnefactError):
    """The live version did not stand still for long enough; what was built stays for the next call."""


@dataclass
class Versions:
    """Of one model, whose lock is held."""

    projection: Projection
    catalog: Catalog
    settings: Settings
    store: Store
    codec: Codec
    lock: int
    """File descriptor of the lock."""
    marks: Marks
    teller: Teller
    fold: str
    """The one that is installed here."""
    live: int
    previous: int | None
    """The version that was live before, of which others may be readers, and to which `rollback` goes."""
    began_at: Progress = field(default_factory=dict)
    """Where the version was found that this run goes on with."""
    started: float = field(default_factory=time.monotonic)

    def notes(self) -> dict[int, Note]:
        """Of the versions that never were live."""
        return {version: Note.read(text) for version, text in self.store.notes(self.projection.model).items()}

    def strange(self) -> dict[int, Note]:
        """Of those that another home folder began: somebody may be building them, or reading them."""
        return {version: note for version, note in self.notes().items() if note.home != self.marks.home}

    def drop_others(self, kept: set[int]) -> None:
        """Remove every version but these."""
        for version in self.store.versions(self.projection.model):
            if version not in kept:
                self.store.drop_version(self.projection.model, version)

    def switch(self, comparer: Comparer, version: int) -> None:
        """Make the version live as soon as live stands still for the moment that catching up and switching take."""
        deadline, model = Deadline(SWITCH_TIMEOUT_S), self.projection.model
        self.teller.phase("switching")
        while not self.store.switch(model, version, comparer.catch_up(), self.live):
            if self.store.live_version(model) != self.live:
                raise OnefactError(f"{model.name} was switched by another replay; this one changes nothing")
            if not deadline.pause():
                self.kept_moving()

    def save(self) -> None:
        """Keep what is noted."""
        self.marks.save(self.settings, self.projection.model)

    def kept_moving(self) -> NoReturn:
        raise KeptMoving(
            f"{self.projection.model.name} kept moving: the rebuilt version could not be put in its place within "
            f"{SWITCH_TIMEOUT_S:g} s; nothing was switched. Try when fewer facts come in"
        )

    def result(
        self, rebuild: Rebuild, found: Comparison, *, switched: bool, compared: bool, records: int, dead: int
    ) -> ReplayResult:
        """What came of the run, as its caller is told."""
        return ReplayResult(
            model=self.projection.model.name,
            version=rebuild.version,
            previous=self.live,
            switched=switched,
            identical=found.identical if compared else None,
            rows=found.rows,
            records=records,
            dead=dead,
            seconds=round(time.monotonic() - self.started, 3),
            rate=round(records / max(self.teller.seconds, 1e-3)),
            digest_live=found.digest_live if compared else None,
            digest_rebuilt=found.digest_rebuilt,
            position=position_text(rebuild.at),
            began_at=position_text(self.began_at),
            differing=found.differing,
            changed=found.counts["changed"],
            missing=found.counts["missing"],
            extra=found.counts["extra"],
            differences=found.named,
            sample=found.sample,
        )


def position_text(progress: Progress) -> str:
    """Progress as a position, without the partitions at 0."""
    return str(Position({place: n for place, n in progress.items() if n}))


@contextmanager
def held(
    model_name: str,
    settings: Settings | None,
    catalog: Catalog | None,
    stores: OpenStore,
    on_progress: OnProgress | None,
) -> Iterator[Versions]:
    """A model's versions, ready, while the block runs; raises `OnefactError` where another process has them."""
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
        store.prepare([projection.model])
        live = store.live_version(projection.model)
        yield Versions(
            projection,
            catalog,
            settings,
            store,
            Codec(registry, catalog.message_types, catalog.upcasters),
            lock,
            Marks.load(settings, projection.model),
            Teller(on_progress),
            fold_of(projection),
            live,
            _previous(store, projection.model, live),
        )


def _previous(store: Store, model: Model, live: int) -> int | None:
    """The version that was live before the last switch.

    A store in which an older release switched does not say; there it is what is older and was not noted when made.
    """
    known, notes = store.previous_version(model), store.notes(model)
    older = (each for each in store.versions(model) if each < live and each not in notes)
    return known or max(older, default=None)
