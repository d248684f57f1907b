"""Writes a read model as it was at a point, or what a part of the log alone leads to, into a Parquet file."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from eventlog.codec import Codec
from eventlog.memory import MemoryRows
from eventlog.models import Key, Row, Value
from eventlog.position import Position
from eventlog.reader import LogReader
from eventlog.registry import Registry
from eventlog.roles import Catalog, Projection
from eventlog.settings import Settings
from eventlog.upkeep.parquet import write_rows
from projections.asof import Histories
from projections.finding import projection_of
from projections.folding import MemoryFold, compacted
from projections.keys import key_of, row_key
from projections.lineage import Deadline, Lineage
from projections.parts import TIMEOUT_S, Part, targets
from projections.points import parse_point

FOR_EVER = "9999-12-31"
"""As of then: everything there is."""


@dataclass(frozen=True)
class Exported:
    """What was written."""

    model: str
    path: str
    rows: int
    seconds: float


def export(
    model_name: str,
    path: Path,
    settings: Settings | None = None,
    *,
    key: Value | Sequence[Value] = (),
    since: str | datetime | Position | None = None,
    until: str | datetime | Position | None = None,
    catalog: Catalog | None = None,
) -> Exported:
    """Fold in memory and write; no store is asked, and none written to.

    With a key (or its first columns) its rows alone. Without `since` the fold begins at the nearest checkpoint. Raises
    `NotFound`, `BadInput`, `ServiceAway`, `HistoryGone`, `Lags`.
    """
    started = time.monotonic()
    settings = (settings or Settings()).required("kafka", "registry")
    if catalog is None:
        from eventlog.discovery import catalog as discovered

        catalog = discovered()
    projection = projection_of(catalog, model_name)
    model = projection.model
    wanted = key_of(model, list(key) if isinstance(key, list | tuple) else key) if key != () else ()
    part = Part(since if since is None else parse_point(since), until if until is None else parse_point(until))
    if part.since is None:
        rows = _as_of(projection, wanted, part, settings, catalog)
    else:
        rows = _between(projection, part, settings, catalog)
    kept: Iterator[Row] = (row for row in rows.scan() if row_key(model, row)[: len(wanted)] == wanted)
    count = write_rows(path, model, kept, {"model": model.name, "store": model.store, "part": str(part)})
    return Exported(model.name, str(path), count, round(time.monotonic() - started, 3))


def _as_of(projection: Projection, wanted: Key, part: Part, settings: Settings, catalog: Catalog) -> MemoryRows:
    lineage = Lineage(settings, catalog)
    histories = Histories(settings, catalog, lineage)
    try:
        return histories.fold(projection, wanted, part.until or parse_point(FOR_EVER), Deadline(TIMEOUT_S))
    finally:
        histories.close()
        lineage.close()


def _between(projection: Projection, part: Part, settings: Settings, catalog: Catalog) -> MemoryRows:
    start, target = targets(part, projection, settings, catalog)
    with Registry(settings.registry) as registry, LogReader(settings, archived_first=compacted([projection])) as log:
        codec = Codec(registry, catalog.message_types, catalog.upcasters)
        folding = MemoryFold(projection, codec, log, window=part.window)
        folding.at.update(start)
        folding.fold(target)
        return folding.kept
