"""Parts of the log: what lies between two points, each a time or a position."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from eventlog.position import Position
from eventlog.roles import Catalog, Projection
from eventlog.settings import Settings
from eventlog.sink import Progress
from projections.folding import Window
from projections.lineage import Deadline, Lineage
from projections.points import Point

TIMEOUT_S = 30.0
"""So long what is made from a position, or from the facts there are now, is waited for."""


@dataclass(frozen=True)
class Part:
    """From `since` on, up to `until`: times include facts of that very moment, positions say what lies before them."""

    since: Point | None = None
    until: Point | None = None

    @property
    def whole(self) -> bool:
        return self.since is None and self.until is None

    @property
    def window(self) -> Window:
        """What of it is said in times."""
        times = [point if isinstance(point, datetime) else None for point in (self.since, self.until)]
        return Window(*times)

    def __str__(self) -> str:
        said = [point.isoformat() if isinstance(point, datetime) else str(point or "") for point in self._points()]
        return " to ".join(said)

    def _points(self) -> tuple[Point | None, Point | None]:
        return self.since, self.until


def targets(part: Part, projection: Projection, settings: Settings, catalog: Catalog) -> tuple[Progress, Progress]:
    """Where the part begins in the model's sources, as far as positions say so, and where it ends.

    Raises `BadInput` for a position without order to the model's sources, `Lags`, `ServiceAway`.
    """
    lineage, deadline = Lineage(settings, catalog), Deadline(TIMEOUT_S)
    try:
        start = _vector(part.since, projection, lineage, deadline) if isinstance(part.since, Position) else {}
        return start, _vector(part.until, projection, lineage, deadline)
    finally:
        lineage.close()


def _vector(point: Point | None, projection: Projection, lineage: Lineage, deadline: Deadline) -> Progress:
    """Ends of the model's sources, or where a position ends in them."""
    if isinstance(point, Position):
        lineage.check(point)
    found: Progress = {}
    for source in projection.sources:
        partitions = list(range(source.partitions))
        if isinstance(point, Position):
            limits = lineage.limits(projection, source, point, partitions, deadline)
            found |= {(source.name, p): min(n, lineage.end(source.name, p)) for p, n in limits.items() if n}
            continue
        for p in partitions:
            lineage.wait_whole(projection, source, p, deadline)
            found[source.name, p] = lineage.end(source.name, p)
    return found
