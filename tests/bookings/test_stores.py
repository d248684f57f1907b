"""Every read model of bookings in its real store has the rows of the fold in memory, however facts come in batches."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from itertools import pairwise

import msgspec
import pytest

from eventlog.digest import digest
from eventlog.discovery import catalog
from eventlog.envelope import Meta
from eventlog.memory import MemoryRows
from eventlog.message import Event
from eventlog.operations import coalesce
from eventlog.roles import Projection
from eventlog.settings import Settings
from eventlog.testing import run_samples
from eventlog.testing.folds import operations
from projections.keys import row_key
from projections.stores import open_store
from schemas.bookings import BOOKINGS

PROJECTIONS = [projection for projection in catalog().projections if projection.domain is BOOKINGS]
COUNT, SEED = 600, 3


def facts_of(projection: Projection) -> list[tuple[Event, Meta]]:
    """The sample's facts as if they had just been appended."""
    now = int(datetime.now(UTC).timestamp() * 1000)
    found = run_samples(catalog(), COUNT, SEED).of(projection.sources)
    return [(event, msgspec.structs.replace(meta, appended_ms=now)) for _, event, meta in found]


def test_there_are_ten() -> None:
    assert {projection.model.name for projection in PROJECTIONS} == {
        "tv-live", "news-alerts", "social-feed", "match-analytics", "player-cards", "referee-cards", "players", "teams",
        "referees", "bookings",
    }  # fmt: skip


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda projection: projection.model.name)
def test_rows_are_those_of_the_fold(projection: Projection, settings: Settings) -> None:
    model, facts = projection.model, facts_of(projection)
    reference = MemoryRows(model)
    reference.apply(coalesce(op for event, meta in facts for op in operations(projection, event, meta)))
    wanted = sorted(reference.scan(), key=lambda row: str(row_key(model, row)))
    cuts = sorted(random.Random(SEED).sample(range(1, len(facts)), 9))
    store = open_store(model.store, settings)
    store.prepare([model])
    version = store.create_version(model)
    sink = store.sink(model, "tests", 0, version)
    try:
        position = sink.open()
        for begin, end in pairwise([0, *cuts, len(facts)]):
            batch = facts[begin:end]
            changes = coalesce(op for event, meta in batch for op in operations(projection, event, meta))
            sink.apply(changes, position := position + 1)
        found = sorted(store.scan(model, version), key=lambda row: str(row_key(model, row)))
        assert found == wanted
        assert digest(found) == digest(wanted)
        assert len(found) >= len({row_key(model, row) for row in wanted}) > 0
        assert store.get(model, row_key(model, wanted[0]), version) == wanted[0]
    finally:
        sink.close()
        store.drop_version(model, version)
        store.close()
