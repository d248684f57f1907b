"""What is decided or derived depends on its arguments alone, and any batching of them gives the same log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from functools import cache
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.codec import Codec
from eventlog.discovery import catalog
from eventlog.envelope import CODE_VERSION, Record, command_headers
from eventlog.errors import Refused
from eventlog.partition import partition_of
from eventlog.roles import Decider, Enricher, ReferenceTable
from eventlog.rows import OutRow
from eventlog.steps import DecideStep, EnrichStep
from eventlog.testing import Asked, Log, run_samples
from tests.laws.registry import MemorySchemas

COUNT, SEED = 300, 5
CODEC = Codec(MemorySchemas(), catalog().message_types)
each_decider = pytest.mark.parametrize("decider", catalog().deciders, ids=lambda r: r.name)
each_enricher = pytest.mark.parametrize("enricher", catalog().enrichers, ids=lambda r: r.name)
kept = msgspec.msgpack.encode

Decision = tuple[Any, Any, datetime, Any]
"""Message, state before, time, and what came of it."""
Step = DecideStep | EnrichStep


@cache
def log() -> Log:
    return run_samples(catalog(), COUNT, SEED)


def sample_of(decider: Decider) -> list[Asked]:
    """What comes to the decider in the samples, whoever sends it."""
    asked = log().commands.get(decider.source.name, [])
    assert asked, f"no sample has a command for {decider.domain.name}"
    return asked


def decided(decider: Decider) -> Iterator[Decision]:
    states: dict[str, Any] = {}
    for asked in sample_of(decider):
        command, time = asked.command, asked.time
        state = states.get(command.stream, decider.initial)
        try:
            events = list(decider.decide(command, state, time))
        except Refused as refused:
            yield command, state, time, (refused.code, refused.reason)
            continue
        yield command, state, time, events
        for event in events:
            state = decider.evolve(state, event, time)
        states[command.stream] = state


@each_decider
def test_the_same_command_in_the_same_state_has_the_same_outcome(decider: Decider) -> None:
    first, again = list(decided(decider)), list(decided(decider))
    assert first == again
    for command, state, time, outcome in first:
        before = kept(state)
        if isinstance(outcome, tuple):
            with pytest.raises(Refused):
                decider.decide(command, state, time)
        else:
            assert list(decider.decide(command, state, time)) == outcome
            for event in outcome:
                once, twice = decider.evolve(state, event, time), decider.evolve(state, event, time)
                assert once == twice
        assert kept(state) == before, "a state is never changed, only followed by another"


@each_decider
def test_a_decider_states_only_its_own_facts_in_the_commands_stream(decider: Decider) -> None:
    outcomes = list(decided(decider))
    for command, _, _, outcome in outcomes:
        if isinstance(outcome, list):
            assert {type(event) for event in outcome} <= set(decider.domain.events)
            assert {event.stream for event in outcome} <= {command.stream}
    assert any(isinstance(outcome, tuple) for *_, outcome in outcomes), "the sample should have a refusal"
    stated = {type(event) for *_, outcome in outcomes if isinstance(outcome, list) for event in outcome}
    assert stated == set(decider.domain.events), "the sample should lead to every kind of event"


@each_decider
def test_a_deciders_state_is_frozen_and_survives_its_changelog(decider: Decider) -> None:
    assert decider.state.__struct_config__.frozen
    for _, state, _, _ in decided(decider):
        assert msgspec.msgpack.decode(kept(state), type=decider.state | None) == state


@each_enricher
def test_an_enricher_depends_on_its_arguments_alone(enricher: Enricher) -> None:
    tables = {topic.name: ReferenceTable() for topic in enricher.references}
    also = {cls for topic in enricher.also for cls in topic.types}
    states: dict[str, Any] = {}
    assert enricher.state.__struct_config__.frozen
    for _, event, meta in log().of([enricher.source]):
        state = states.get(meta.stream, enricher.initial)
        before = kept(state)
        facts, after = enricher.enrich(event, state, tables, meta.time)
        facts = list(facts)
        again, after_again = enricher.enrich(event, state, tables, meta.time)
        assert (facts, after) == (list(again), after_again)
        assert kept(state) == before, "a state is never changed, only followed by another"
        assert msgspec.msgpack.decode(kept(after), type=enricher.state | None) == after
        assert {type(fact) for fact in facts} <= {*enricher.domain.enriched, *also}
        assert {fact.stream for fact in facts if type(fact) not in also} <= {meta.stream}
        states[meta.stream] = after


def records_of(decider: Decider) -> list[Record]:
    topic = decider.source.name
    found = []
    for offset, asked in enumerate(sample_of(decider)):
        command = asked.command
        headers = command_headers(asked.id, "onefact/sample", type(command).__name__, command.stream, asked.time)
        key = command.stream.encode()
        partition = partition_of(key, decider.source.partitions)
        found.append(Record(topic, partition, offset, 0, key, CODEC.encode(command), headers))
    return found


Rows = dict[str, list[Any]]


def run(make: Callable[[], Step], records: list[Record], cuts: list[int], *, restarts: bool = False) -> Rows:
    """Rows by topic when the records come in batches that end at `cuts`.

    With `restarts` each batch is a new owner's, who knows only what the ones before it wrote to the changelog.
    """
    rows: Rows = {}
    changelog: list[OutRow] = []
    step = make()
    for start, end in pairwise(sorted({0, *(min(cut, len(records)) for cut in cuts), len(records)})):
        if restarts:
            step = make()
            step.restore((key or b"", value) for key, value, _ in changelog)
        done: Any = step.run(records[start:end])
        if isinstance(step, DecideStep):
            changelog += step.late(done, [(0, 0)])[1]
        else:
            changelog += step.changelog(done)
        step.commit(done)
        for topic, made in done.rows.items():
            rows.setdefault(topic, []).extend(made)
    return rows


def undivided(decider: Decider) -> Rows:
    return _undivided(decider.name)


@cache
def _undivided(name: str) -> Rows:
    decider = next(d for d in catalog().deciders if d.name == name)
    rows = run(lambda: DecideStep(decider, CODEC), records_of(decider), [])
    assert decider.source.dead.name not in rows
    return rows


several_cuts = st.lists(st.integers(0, COUNT), max_size=10)


@each_decider
@given(cuts=several_cuts, restarts=st.booleans())
def test_any_batching_of_commands_gives_the_same_log(decider: Decider, cuts: list[int], *, restarts: bool) -> None:
    assert run(lambda: DecideStep(decider, CODEC), records_of(decider), cuts, restarts=restarts) == undivided(decider)


@each_decider
def test_a_new_owner_goes_on_after_any_command(decider: Decider) -> None:
    """Every command is asked a second time as another one, so that streams that only ever refused come up again."""
    once = records_of(decider)
    again = [
        msgspec.structs.replace(
            record,
            offset=record.offset + len(once),
            headers=[
                (name, value + b"-again" if name == "ce_id" and value else value) for name, value in record.headers
            ],
        )
        for record in once
    ]
    records = [*once, *again]
    plain = run(lambda: DecideStep(decider, CODEC), records, [])
    assert decider.source.dead.name not in plain
    assert run(lambda: DecideStep(decider, CODEC), records, list(range(0, len(records), 7)), restarts=True) == plain


def enriched(enricher: Enricher, cuts: list[int], *, restarts: bool = False) -> Rows:
    decider = next(d for d in catalog().deciders if d.domain is enricher.domain)
    topic = enricher.source.name
    records = [Record(topic, 0, offset, 0, *row) for offset, row in enumerate(undivided(decider)[topic])]
    tables = {topic.name: ReferenceTable() for topic in enricher.references}
    return run(lambda: EnrichStep(enricher, CODEC, tables), records, cuts, restarts=restarts)


@each_enricher
@given(cuts=several_cuts, restarts=st.booleans())
def test_any_batching_of_events_gives_the_same_enriched_log(
    enricher: Enricher, cuts: list[int], *, restarts: bool
) -> None:
    assert enriched(enricher, cuts, restarts=restarts) == enriched(enricher, [])


def codes_of(rows: Iterable[OutRow]) -> set[bytes | None]:
    return {dict(headers).get(CODE_VERSION) for _, _, headers in rows}


@each_decider
def test_every_fact_and_refusal_says_which_version_decided_it(decider: Decider) -> None:
    newer = replace(decider, version="7")
    rows = run(lambda: DecideStep(newer, CODEC, "abc"), records_of(decider), [])
    facts = {topic: codes_of(made) for topic, made in rows.items()}
    assert facts == {topic.name: {b"7+abc"} for topic in map(decider.domain.topic, ("events", "rejections"))}


@each_enricher
def test_every_enriched_fact_says_which_version_made_it(enricher: Enricher) -> None:
    decider = next(d for d in catalog().deciders if d.domain is enricher.domain)
    topic = enricher.source.name
    records = [Record(topic, 0, offset, 0, *row) for offset, row in enumerate(undivided(decider)[topic])]
    tables = {topic.name: ReferenceTable() for topic in enricher.references}
    done = EnrichStep(replace(enricher, version="7"), CODEC, tables).run(records)
    made = [*done.rows.values(), *(rows.values() for rows in done.keyed.values())]
    assert len(made) == 1 + len(enricher.also)
    assert [codes_of(rows) for rows in made] == [{b"7"}] * len(made)
