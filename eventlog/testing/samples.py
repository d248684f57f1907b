"""What the domains' samples lead to, as a log in memory."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from eventlog.envelope import Meta, parse_time
from eventlog.errors import Refused
from eventlog.message import Command, Event, Message
from eventlog.roles import Catalog, ReferenceTable
from eventlog.testing.folds import meta_of
from eventlog.topics import Domain, Topic

Fact = tuple[Topic, Event, Meta]
"""A fact and the topic it was appended to."""


@dataclass
class Log:
    """What a domain's sample leads to when deciders and enrichers run over it: a log in memory, in its order."""

    facts: list[Fact] = field(default_factory=list)
    refusals: list[Refused] = field(default_factory=list)

    def of(self, topics: Iterable[Topic]) -> list[Fact]:
        """The facts of these topics."""
        names = {topic.name for topic in topics}
        return [fact for fact in self.facts if fact[0].name in names]


def run_samples(catalog: Catalog, count: int, seed: int) -> Log:
    """Run every domain's sample, `count` messages each, through its decider and its enricher."""
    log = Log()
    tables = {topic.name: ReferenceTable() for e in catalog.enrichers for topic in e.references}
    run = _Run(catalog, log, tables)
    for source in catalog.sources:
        if source.sample is None:
            continue
        published = source.domain.published()
        for cloud_event in source.sample(count, seed):
            cls, topic = published[cloud_event["type"]]
            message = message_of(cls, cloud_event["data"])
            run.take(source.domain, topic, message, parse_time(cloud_event["time"]))
    return log


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
        self._deciders = {d.domain.name: d for d in catalog.deciders}
        self._enrichers = {e.domain.name: e for e in catalog.enrichers}
        self._log = log
        self._tables = tables
        self._states: dict[tuple[str, str], Any] = {}
        self._versions: dict[tuple[str, str], int] = {}

    def take(self, domain: Domain, topic: Topic, message: Message, time: datetime) -> None:
        if isinstance(message, Command):
            self._decide(domain, message, time)
        else:
            assert isinstance(message, Event)
            self._append(topic, message, time)

    def _decide(self, domain: Domain, command: Command, time: datetime) -> None:
        decider = self._deciders[domain.name]
        key = (decider.name, command.stream)
        state = self._states.get(key, decider.initial)
        try:
            events = tuple(decider.decide(command, state, time))
        except Refused as refused:
            self._log.refusals.append(refused)
            return
        for event in events:
            state = decider.evolve(state, event, time)
            self._append(domain.topic("events"), event, time)
            self._enrich(domain, event, time)
        self._states[key] = state

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

    def _append(self, topic: Topic, event: Event, time: datetime) -> None:
        key = (topic.name, event.stream)
        version = self._versions[key] = self._versions.get(key, 0) + 1
        self._log.facts.append((topic, event, meta_of(event, time, version)))
        if topic.name in self._tables:
            self._tables[topic.name][event.stream] = (event, time)
