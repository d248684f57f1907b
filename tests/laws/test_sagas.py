"""What a saga does depends on its inbox alone, its clock among it; and every instance comes to an end."""

from __future__ import annotations

from dataclasses import replace
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
from eventlog.message import DeadlinePassed, Tick
from eventlog.rows import OutRow
from eventlog.sagas import Clock, Saga
from eventlog.steps import SagaStep
from eventlog.testing import Log, run_samples
from tests.laws.registry import MemorySchemas

COUNT, SEED = 200, 5
CODEC = Codec(MemorySchemas(), catalog().message_types)
each_saga = pytest.mark.parametrize("saga", catalog().sagas, ids=lambda r: r.name)
kept = msgspec.msgpack.encode
Rows = dict[str, list[OutRow]]


@cache
def log() -> Log:
    return run_samples(catalog(), COUNT, SEED)


@each_saga
def test_a_saga_depends_on_its_arguments_alone(saga: Saga) -> None:
    states: dict[str, Any] = {}
    seen, steps = set(), set()
    targets = {cls for domain in saga.targets for cls in domain.commands}
    assert saga.state.__struct_config__.frozen
    for event, meta, time in log().inboxes[saga.name]:
        key = meta.stream if isinstance(event, DeadlinePassed) else saga.key(event, meta)
        assert key
        state, clock = states.get(key, saga.initial), Clock(time, saga.deadlines)
        before = kept(state)
        reaction = saga.react(event, state, clock)
        assert saga.react(event, state, clock) == reaction
        assert kept(state) == before, "a state is never changed, only followed by another"
        for fact in (event, *reaction.facts) if isinstance(event, DeadlinePassed) else reaction.facts:
            state = saga.evolve(state, fact, time)
            assert fact.stream == key
            seen.add(type(fact))
        assert msgspec.msgpack.decode(kept(state), type=saga.state | None) == state
        assert {type(command) for _, command in reaction.commands} <= targets
        ids = [(key, step, command.stream) for step, command in reaction.commands]
        assert not steps & set(ids), "a step of an instance is sent once: sent again it would not be decided"
        steps |= set(ids)
        states[key] = state
    assert seen == set(saga.domain.events), "the samples should lead to every kind of fact"
    assert all(saga.due(state) is None for state in states.values()), "everything comes to an end"


@cache
def inbox(name: str) -> list[Record]:
    saga = next(s for s in catalog().sagas if s.name == name)
    records = []
    for event, meta, time in log().inboxes[name]:
        message = Tick(saga=name, at=time) if isinstance(event, DeadlinePassed) else event
        key = name if isinstance(message, Tick) else saga.key(event, meta)
        assert key
        headers = command_headers(
            meta.id, "test", type(message).__name__, key, meta.time, correlation=meta.correlation,
            causation=meta.causation, extra=[("traceparent", b"00-1-2-01")],
        )  # fmt: skip
        arrived = round(time.timestamp() * 1000)
        topic = saga.source.name
        records.append(Record(topic, 0, len(records), arrived, key.encode(), CODEC.encode(message), headers))
    return records


def run(saga: Saga, cuts: list[int], *, restarts: bool = False) -> Rows:
    rows: Rows = {}
    changelog: list[OutRow] = []
    records = inbox(saga.name)
    step = SagaStep(saga, CODEC, saga.deadlines)
    for start, end in pairwise(sorted({0, *(min(cut, len(records)) for cut in cuts), len(records)})):
        if restarts:
            step = SagaStep(saga, CODEC, saga.deadlines)
            step.restore((key or b"", value) for key, value, _ in changelog)
        done = step.run(records[start:end])
        changelog += step.changelog(done)
        step.commit(done)
        for topic, made in (*done.rows.items(), *done.spread.items()):
            rows.setdefault(topic, []).extend(made)
    return rows


@cache
def undivided(name: str) -> Rows:
    return run(next(s for s in catalog().sagas if s.name == name), [])


@each_saga
@given(cuts=st.lists(st.integers(0, 3 * COUNT), max_size=10), restarts=st.booleans())
def test_any_batching_of_an_inbox_gives_the_same_log(saga: Saga, cuts: list[int], *, restarts: bool) -> None:
    assert run(saga, cuts, restarts=restarts) == undivided(saga.name)


@each_saga
def test_a_new_owner_goes_on_after_anything(saga: Saga) -> None:
    assert run(saga, list(range(0, 10 * COUNT, 3)), restarts=True) == undivided(saga.name)


@each_saga
def test_a_batch_leads_to_what_its_records_lead_to_one_by_one(saga: Saga) -> None:
    """The step does what the domain's functions say: the commands and facts of the samples, each as often as there."""
    rows = undivided(saga.name)
    assert saga.source.dead.name not in rows
    events = saga.domain.topic("events")
    assert sorted(value or b"" for _, value, _ in rows[events.name]) == sorted(
        CODEC.encode(fact) for _, fact, _ in log().of([events])
    )
    for domain in saga.targets:
        topic = domain.topic("commands").name
        sent = sorted((dict(headers)["ce_id"].decode(), value) for _, value, headers in rows[topic])
        expected = sorted(
            (asked.id, CODEC.encode(asked.command))
            for asked in log().commands[topic]
            if asked.id.startswith(f"{saga.domain.name}/")
        )
        assert sent == expected


@each_saga
def test_every_fact_says_which_version_stated_it_and_takes_over_its_trace(saga: Saga) -> None:
    step = SagaStep(replace(saga, version="7"), CODEC, saga.deadlines, "abc")
    rows = step.run([r for r in inbox(saga.name) if r.key != saga.name.encode()]).rows[saga.domain.topic("events").name]
    assert {dict(headers).get(CODE_VERSION) for _, _, headers in rows} == {b"7+abc"}
    assert {dict(headers).get("traceparent") for _, _, headers in rows} == {b"00-1-2-01"}
