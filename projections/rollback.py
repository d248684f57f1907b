"""Takes a switch back: the version that was live before is brought up to where the live one is, and is live again."""

from __future__ import annotations

from eventlog.errors import NotFound, OnefactError
from eventlog.reader import LogReader
from eventlog.roles import Catalog
from eventlog.settings import Settings
from eventlog.sink import Progress
from projections.compare import Comparer, Comparison, progress_of
from projections.marks import MIXED, UNLIKE
from projections.progress import OnProgress
from projections.rebuild import Rebuild
from projections.results import ReplayResult
from projections.stores import OpenStore, open_store
from projections.versions import Versions, held, position_text


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
    with held(model_name, settings, catalog, stores, on_progress) as versions:
        return _roll_back(versions, accept_differences)


def _roll_back(versions: Versions, accept_differences: bool) -> ReplayResult:
    model, store, live = versions.projection.model, versions.store, versions.live
    wanted = versions.previous
    if wanted is None:
        raise NotFound(f"there is no version of {model.name} beside {live} to go back to")
    target = progress_of(store, model, live)
    with (
        LogReader(versions.settings) as log,
        Rebuild(versions.projection, store, wanted, versions.codec, log) as rebuild,
    ):
        versions.began_at = dict(rebuild.at)
        if _foreign(versions, wanted, target, log):
            if not accept_differences:
                raise OnefactError(_refused(versions, wanted))
            versions.marks.folds[str(wanted)] = MIXED
            versions.save()  # before the first of them is in it
        versions.teller.begin(rebuild.at, target)
        rebuild.fold(target, on_advance=versions.teller.advance)
        versions.teller.built()
        rebuild.follow(versions.settings)
        versions.switch(Comparer(store, live, rebuild), wanted)
        return versions.result(
            rebuild, Comparison(), switched=True, compared=False, records=rebuild.records, dead=rebuild.dead
        )


def _foreign(versions: Versions, wanted: int, target: Progress, log: LogReader) -> bool:
    """Whether there are records to be folded into the version by code that is not its own."""
    at = versions.began_at
    if ahead := [place for place, offset in at.items() if offset > target.get(place, 0)]:
        raise OnefactError(f"version {wanted} of {versions.projection.model.name} is ahead of the live one in {ahead}")
    known = versions.marks.folds.get(str(wanted), versions.fold)
    foreign = known == UNLIKE + versions.fold or (known != versions.fold and not known.startswith(UNLIKE))
    return foreign and log.waiting({place: (at.get(place, 0), end) for place, end in target.items()}) > 0


def _refused(versions: Versions, wanted: int) -> str:
    return (
        f"version {wanted} of {versions.projection.model.name} stands at {position_text(versions.began_at)}, and was "
        "folded by other code than is installed here: what came since would be folded by this one. Deploy the code "
        "of that version, to the workers and here, and try again; or say --expect-change, and have both folds in "
        "one version"
    )
