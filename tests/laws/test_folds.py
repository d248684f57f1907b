"""A read model is its facts and nothing else: not how they were batched, not how often, not what came between."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.digest import digest
from eventlog.discovery import catalog
from eventlog.envelope import Meta
from eventlog.memory import MemoryRows
from eventlog.message import Event
from eventlog.models import column_type
from eventlog.operations import Append, coalesce
from eventlog.roles import Projection
from eventlog.testing import Fact, Log, fold, interleaved, run_samples
from eventlog.testing.folds import operations

SAMPLE_COUNT, SAMPLE_SEED = 400, 11
PROJECTIONS = {projection.name: projection for projection in catalog().projections}
each_projection = pytest.mark.parametrize("projection", PROJECTIONS.values(), ids=lambda p: p.name)


@cache
def log() -> Log:
    return run_samples(catalog(), SAMPLE_COUNT, SAMPLE_SEED)


def facts_of(projection: Projection) -> list[Fact]:
    facts = log().of(projection.sources)
    assert facts, f"no domain's sample leads to a fact that {projection.name} reads"
    return facts


def pairs(facts: list[Fact]) -> list[tuple[Event, Meta]]:
    return [(event, meta) for _, event, meta in facts]


def one_by_one(projection: Projection) -> tuple[int, str]:
    return _one_by_one(projection.name)


@cache
def _one_by_one(name: str) -> tuple[int, str]:
    """The plainest fold there is: each fact is a batch of its own."""
    projection = PROJECTIONS[name]
    facts = pairs(facts_of(projection))
    return digest(fold(projection, facts, range(1, len(facts))))


@each_projection
def test_a_sample_makes_rows(projection: Projection) -> None:
    count, _ = one_by_one(projection)
    assert count > 0


@each_projection
@given(data=st.data())
def test_any_batching_gives_the_same_rows(projection: Projection, data: st.DataObject) -> None:
    facts = pairs(facts_of(projection))
    cuts = data.draw(st.lists(st.integers(0, len(facts)), max_size=12))
    assert digest(fold(projection, facts, cuts)) == one_by_one(projection)


@each_projection
def test_folding_twice_gives_what_folding_once_gave(projection: Projection) -> None:
    facts = pairs(facts_of(projection))
    assert digest(fold(projection, facts)) == digest(fold(projection, facts)) == one_by_one(projection)


@each_projection
@given(seed=st.integers(0, 2**32))
def test_only_the_order_within_a_stream_of_a_topic_counts(projection: Projection, seed: int) -> None:
    mixed = pairs(list(interleaved(facts_of(projection), seed)))
    assert digest(fold(projection, mixed)) == one_by_one(projection)


@each_projection
def test_stopping_anywhere_and_going_on_gives_the_same_rows(projection: Projection) -> None:
    """Rows that were kept, and then changed by what came later, are those of the whole fold."""
    facts = pairs(facts_of(projection))
    rows = MemoryRows(projection.model)
    for start in range(0, len(facts), 37):
        list(rows.scan())
        rows.apply(
            coalesce(op for event, meta in facts[start : start + 37] for op in operations(projection, event, meta))
        )
    assert digest(rows.scan()) == one_by_one(projection)


@each_projection
def test_operations_name_the_models_key_and_columns(projection: Projection) -> None:
    model, appended = projection.model, set()
    for event, meta in pairs(facts_of(projection)):
        for operation in operations(projection, event, meta):
            assert len(operation.key) == len(model.key)
            for column in getattr(operation, "values", ()):
                assert column not in model.key
                column_type(model, column)
            if isinstance(operation, Append):
                assert operation.key not in appended, "a row that is appended is new"
                appended.add(operation.key)


@each_projection
def test_every_type_of_its_topics_can_come(projection: Projection) -> None:
    """A projection answers each type that it says it is for; the sample has them all, and those it is not for."""
    seen = {type(event) for _, event, _ in facts_of(projection)}
    assert projection.wanted
    assert projection.wanted <= seen
    assert seen == {cls for topic in projection.sources for cls in topic.types}, "the sample should show every type"
