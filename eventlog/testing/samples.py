"""What the domains' samples lead to, as a log in memory."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from eventlog.envelope import Meta, parse_time
from eventlog.errors import Refused
from eventlog.message import Command, CommandRejected, DeadlinePassed, Event, Message
from eventlog.roles import Catalog, ReferenceTable
from eventlog.sagas import Clock, Saga
from eventlog.testing.folds import meta_of
from eventlog.topics import Domain, Topic

Fact = tuple[Topic, Event, Meta]
"""A fact and the topic it was appended to."""
TICK = timedelta(seconds=1)
"""Of the clock of sagas, once nothing else is left to happen."""
TICKS_MAX = 10_000
"""After so many seconds of waiting for what does not come, a saga that still waits does so for ever."""


class Asked(msgspec.Struct, frozen=True):
    """A command as it came to its decider, whoever sent it."""

    command: Command
    id: str
    time: datetime
    correlation: str = ""


@dataclass
class Log:
    """What the domains' samples lead to when every role runs over them: a log in memory, in its order."""

    facts: list[Fact] = field(default_factory=list)
    refusals: list[Refused] = field(default_factory=list)
    commands: dict[str, list[Asked]] = field(default_factory=dict)
    """By topic: those of the samples, and those that sagas sent."""
    inboxes: dict[str, list[tuple[Event, Meta, datetime]]] = field(default_factory=dict)
    """By saga: what it reacted to, and when that arrived; `DeadlinePassed` where its clock did."""

    def of(self, topics: Iterable[Topic]) -> list[Fact]:
        """The facts of these topics."""
        names = {topic.name for topic in topics}
        return [fact for fact in self.facts if fact[0].name in names]


def run_samples(catalog: Catalog, count: int, seed: int) -> Log:
    """Run every domain's sample, `count` messages each, through all deciders, enrichers and sagas.

    What a fact leads to elsewhere happens before the next message; deadlines of sagas pass after the last one.
    """
    log = Log()
    for _ in _feed(catalog, count, seed, log):
        pass
    return log


def sample_facts(catalog: Catalog, count: int, seed: int) -> Iterator[Fact]:
    """The facts of `run_samples` one by one, for counts whose facts would not all fit into memory."""
    log = Log()
    for _ in _feed(catalog, count, seed, log):
        yield from log.facts
        for grown in (log.facts, log.refusals, log.commands, log.inboxes):
            grown.clear()


def _feed(catalog: Catalog, count: int, seed: int, log: Log) -> Iterator[None]:
    """Give message by message of the samples to the roles, which add to the log what each leads to."""
    tables = {topic.name: ReferenceTable() for e in catalog.enrichers for topic in e.references}
    run = _Run(catalog, log, tables)
    for source in catalog.sources:
        if source.sample is None:
            continue
        published = {name: of for domain in (source.domain, *source.also) for name, of in domain.published().items()}
        for cloud_event in source.sample(count, seed):
            cls, topic = published[cloud_event["type"]]
            run.take(topic, message_of(cls, cloud_event["data"]), cloud_event["id"], parse_time(cloud_event["time"]))
            yield
    run.wait()
    yield


def message_of(cls: type[Message], data: Mapping[str, Any]) -> Message:
    """A message of a CloudEvent's data, as strictly as a client's is read."""
    return msgspec.convert(data, cls)


def interleaved(facts: Sequence[Fact], seed: int) -> Iterator[Fact]:
    """The facts in another order that the log allows: only one stream of one topic keeps its order."""
    waiting: dict[tuple[str, str], list[Fact]] = {}
    for fact in facts:
        waiting.setdefault((fact[0].name, fact[2].stream), []).append(fact)
    # A stream is drawn once for each of its facts, then gives them in their own order.
    draws = [key for key, queue in waiting.items() for _ in queue]
    random.Random(seed).shuffle(draws)  # noqa: S311 - an order, not a secret
    nexts = {key: iter(queue) for key, queue in waiting.items()}
    for key in draws:
        yield next(nexts[key])


class _Run:
    """Streams of all domains while samples run through them."""

    def __init__(self, catalog: Catalog, log: Log, tables: dict[str, ReferenceTable]) -> None:
        self._deciders = {d.source.name: d for d in catalog.deciders}
        self._enrichers = {e.domain.name: e for e in catalog.enrichers}
        self._sagas = catalog.sagas
        self._targets = {cls: domain.topic("commands") for domain in catalog.domains for cls in domain.commands}
        self._answers = {s.domain.name: s.answer for s in catalog.sources if s.answer}
        self._log = log
        self._tables = tables
        self._states: dict[tuple[str, str], Any] = {}
        self._versions: dict[tuple[str, str], int] = {}
        self._seen: set[tuple[str, str]] = set()
        self._due: dict[tuple[str, str], datetime] = {}
        self._waiting: deque[tuple[Topic, Asked]] = deque()
        self._time = datetime.min.replace(tzinfo=UTC)

    def take(self, topic: Topic, message: Message, message_id: str, time: datetime) -> None:
        """A message of a sample, and all that it leads to."""
        self._time = time
        if isinstance(message, Command):
            self._waiting.append((topic, Asked(message, message_id, time)))
            self._drain()
        else:
            assert isinstance(message, Event)
            self._append(topic, message, time)

    def wait(self) -> None:
        """Let the clock of sagas go until none of them waits for anything, or for ever."""
        for _ in range(TICKS_MAX):
            if not self._due:
                return
            self._time += TICK
            passed = sorted((due, place) for place, due in self._due.items() if due <= self._time)
            for due, (name, key) in passed:
                saga = next(s for s in self._sagas if s.name == name)
                event = DeadlinePassed(subject=key, due=due)
                self._react(saga, key, event, meta_of(event, self._time, 0))
            self._drain()

    def _drain(self) -> None:
        while self._waiting:
            self._decide(*self._waiting.popleft())

    def _decide(self, topic: Topic, asked: Asked) -> None:
        decider, command, time = self._deciders[topic.name], asked.command, asked.time
        self._log.commands.setdefault(topic.name, []).append(asked)
        if (topic.name, f"{command.stream}:{asked.id}") in self._seen:
            return
        self._seen.add((topic.name, f"{command.stream}:{asked.id}"))
        key = (decider.name, command.stream)
        state = self._states.get(key, decider.initial)
        try:
            events = tuple(decider.decide(command, state, time))
        except Refused as refused:
            self._refuse(decider.domain, asked, refused)
            return
        for event in events:
            state = decider.evolve(state, event, time)
        self._states[key] = state
        for event in events:
            meta = self._append(decider.domain.topic("events"), event, time, asked)
            self._enrich(decider.domain, event, time)
            self._relay(decider.domain.topic("events"), event, meta)
            answer = self._answers.get(decider.domain.name)
            answered = answer(event) if answer else None
            if answered is not None:
                self._waiting.append((topic, Asked(answered, f"{meta.id}/answer", time, asked.correlation)))

    def _refuse(self, domain: Domain, asked: Asked, refused: Refused) -> None:
        self._log.refusals.append(refused)
        fact = CommandRejected(
            subject=asked.command.stream, command_type=type(asked.command).__name__, code=refused.code,
            reason=refused.reason,
        )  # fmt: skip
        meta = meta_of(fact, asked.time, 0)
        meta = msgspec.structs.replace(meta, causation=asked.id, correlation=asked.correlation or asked.id)
        self._relay(domain.topic("rejections"), fact, meta)

    def _relay(self, topic: Topic, event: Event, meta: Meta) -> None:
        for saga in self._sagas:
            if topic in saga.sources:
                key = saga.key(event, meta)
                if key is not None:
                    self._react(saga, key, event, meta)

    def _react(self, saga: Saga, key: str, event: Event, meta: Meta) -> None:
        self._log.inboxes.setdefault(saga.name, []).append((event, meta, self._time))
        state = self._states.get((saga.name, key), saga.initial)
        reaction = saga.react(event, state, Clock(self._time, saga.deadlines))
        facts = (event, *reaction.facts) if isinstance(event, DeadlinePassed) else reaction.facts
        for fact in facts:
            state = saga.evolve(state, fact, self._time)
            self._append(saga.domain.topic("events"), fact, self._time)
        if facts:
            self._states[saga.name, key] = state
            due = saga.due(state)
            self._due.pop((saga.name, key), None)
            if due is not None:
                self._due[saga.name, key] = due
        for step, command in reaction.commands:
            asked = Asked(command, f"{saga.domain.name}/{key}/{step}", meta.time, key)
            self._waiting.append((self._targets[type(command)], asked))

    def _enrich(self, domain: Domain, event: Event, time: datetime) -> None:
        enricher = self._enrichers.get(domain.name)
        if enricher is None:
            return
        key = (enricher.name, event.stream)
        state = self._states.get(key, enricher.initial)
        facts, self._states[key] = enricher.enrich(event, state, self._tables, time)
        elsewhere = {cls: topic for topic in enricher.also for cls in topic.types}
        for fact in facts:
            self._append(elsewhere.get(type(fact)) or domain.topic("enriched"), fact, time)

    def _append(self, topic: Topic, event: Event, time: datetime, because: Asked | None = None) -> Meta:
        key = (topic.name, event.stream)
        version = self._versions[key] = self._versions.get(key, 0) + 1
        meta = meta_of(event, time, version)
        if because is not None:
            correlation = because.correlation or because.id
            meta = msgspec.structs.replace(meta, causation=because.id, correlation=correlation)
        self._log.facts.append((topic, event, meta))
        if topic.name in self._tables:
            self._tables[topic.name][event.stream] = (event, time)
        return meta
