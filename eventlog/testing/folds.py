"""Folds of facts in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise

from eventlog.envelope import Meta, event_id
from eventlog.memory import MemoryRows
from eventlog.message import Event
from eventlog.models import Row
from eventlog.operations import Operation, coalesce
from eventlog.roles import Projection


def meta_of(event: Event, time: datetime, version: int) -> Meta:
    """What rides beside an event in the log, for one that was not read from there."""
    stream = event.stream
    appended_ms = int(time.timestamp() * 1000)
    return Meta(event_id(stream, version), type(event).__name__, stream, time, version, appended_ms=appended_ms)


def operations(projection: Projection, event: Event, meta: Meta) -> Iterable[Operation]:
    """What the projection makes of a fact: nothing of one whose type it is not for."""
    return projection.on(event, meta) if type(event) in projection.wanted else ()


def fold(projection: Projection, facts: Iterable[tuple[Event, Meta]], cuts: Sequence[int] = ()) -> list[Row]:
    """Rows of the model after the facts, applied in batches that end at `cuts`; in one batch where there are none."""
    rows, listed = MemoryRows(projection.model), list(facts)
    edges = [0, *sorted(cuts), len(listed)]
    for start, end in pairwise(edges):
        batch = listed[start:end]
        rows.apply(coalesce(op for event, meta in batch for op in operations(projection, event, meta)))
    return list(rows.scan())
