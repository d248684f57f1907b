"""Scenarios of deciders, enrichers, sagas and projections; see `eventlog.testing`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import msgspec

from eventlog.digest import plain
from eventlog.envelope import Meta
from eventlog.errors import Refused
from eventlog.message import Command, DeadlinePassed, Event, Message
from eventlog.models import Row
from eventlog.roles import Decider, Enricher, Projection, ReferenceTable
from eventlog.sagas import Clock, Reaction, Saga
from eventlog.testing.folds import fold, meta_of
from eventlog.topics import Topic

NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)
"""When everything happens to which a scenario gives no time."""


@dataclass(frozen=True)
class Scenario:
    """One stream and its decider."""

    decider: Decider
    state: Any = msgspec.UNSET
    time: datetime = NOON
    outcome: tuple[Event, ...] | Refused | None = None

    def __post_init__(self) -> None:
        if self.state is msgspec.UNSET:
            object.__setattr__(self, "state", self.decider.initial)

    def given(self, *events: Event, at: datetime | None = None) -> Self:
        """The stream has these events, at `at` or else at the time of the step before."""
        time = at or self.time
        return replace(self, state=self._evolved(events, time), time=time, outcome=None)

    def when(self, command: Command, *, at: datetime | None = None) -> Self:
        """The command arrives; what it leads to is in the stream for the steps that follow."""
        time = at or self.time
        try:
            events = tuple(self.decider.decide(command, self.state, time))
        except Refused as refused:
            return replace(self, time=time, outcome=refused)
        return replace(self, state=self._evolved(events, time), time=time, outcome=events)

    def then(self, *events: Event) -> Self:
        """The command led to exactly these events, in this order."""
        _same(_shown(events), self._shown_outcome())
        return self

    def then_refused(self, code: str) -> Self:
        """The command was refused with this code."""
        shown = [f"refused: {self.outcome.code}"] if isinstance(self.outcome, Refused) else self._shown_outcome()
        _same([f"refused: {code}"], shown)
        return self

    def then_nothing(self) -> Self:
        """The command was accepted and led to no event."""
        _same([], self._shown_outcome())
        return self

    def _evolved(self, events: Iterable[Event], time: datetime) -> Any:
        state = self.state
        for event in events:
            state = self.decider.evolve(state, event, time)
        return state

    def _shown_outcome(self) -> list[str]:
        match self.outcome:
            case None:
                raise AssertionError("there is no outcome yet: call when(command) first")
            case Refused() as refused:
                return [f"refused: {refused.code}: {refused.reason}"]
            case events:
                return _shown(events)


@dataclass(frozen=True)
class EnricherScenario:
    """One stream and its enricher."""

    enricher: Enricher
    state: Any = msgspec.UNSET
    time: datetime = NOON
    tables: Mapping[str, ReferenceTable] = field(default_factory=dict)
    facts: tuple[Event, ...] | None = None

    def __post_init__(self) -> None:
        if self.state is msgspec.UNSET:
            object.__setattr__(self, "state", self.enricher.initial)
            object.__setattr__(self, "tables", {topic.name: ReferenceTable() for topic in self.enricher.references})

    def given_reference(self, topic: Topic, message: Message, *, at: datetime | None = None) -> Self:
        """The topic's newest record of the message's key is this one."""
        tables = {name: ReferenceTable(table) for name, table in self.tables.items()}
        tables[topic.name][message.stream] = (message, at or self.time)
        return replace(self, tables=tables)

    def given(self, *events: Event, at: datetime | None = None) -> Self:
        """The stream has these events; what they led to is not looked at."""
        after = self
        for event in events:
            after = after.when(event, at=at)
        return replace(after, facts=None)

    def when(self, event: Event, *, at: datetime | None = None) -> Self:
        """One more event of the stream is enriched."""
        time = at or self.time
        facts, state = self.enricher.enrich(event, self.state, self.tables, time)
        return replace(self, state=state, time=time, facts=tuple(facts))

    def then(self, *facts: Event) -> Self:
        """The event led to exactly these facts, in this order."""
        _same(_shown(facts), _shown(self._facts()))
        return self

    def then_of(self, kind: type[Event], *facts: Event) -> Self:
        """Of the facts of this type, the event led to exactly these, in this order."""
        _same(_shown(facts), _shown(fact for fact in self._facts() if isinstance(fact, kind)))
        return self

    def then_nothing(self) -> Self:
        """The event led to no fact."""
        return self.then()

    def _facts(self) -> tuple[Event, ...]:
        if self.facts is None:
            raise AssertionError("nothing was enriched yet: call when(event) first")
        return self.facts


@dataclass(frozen=True)
class SagaScenario:
    """One instance of a saga, and a clock that only the scenario moves."""

    saga: Saga
    state: Any = msgspec.UNSET
    time: datetime = NOON
    reaction: Reaction | None = None

    def __post_init__(self) -> None:
        if self.state is msgspec.UNSET:
            object.__setattr__(self, "state", self.saga.initial)

    def given(self, *messages: Event) -> Self:
        """These have arrived; what they led to is not looked at."""
        after = self
        for message in messages:
            after = after.when(message)
        return replace(after, reaction=None)

    def when(self, message: Event) -> Self:
        """A fact or a refusal arrives."""
        reaction = self.saga.react(message, self.state, Clock(self.time, self.saga.deadlines))
        return self._evolved(reaction, reaction.facts)

    def after(self, length: timedelta) -> Self:
        """For so long nothing arrives; deadlines that pass meanwhile do so at their time."""
        until, scenario = self.time + length, replace(self, reaction=Reaction())
        while (due := self.saga.due(scenario.state)) is not None and due <= until:
            passed = DeadlinePassed(subject="scenario", due=due)
            reaction = self.saga.react(passed, scenario.state, Clock(due, self.saga.deadlines))
            scenario = replace(scenario, time=due)._evolved(reaction, (passed, *reaction.facts))  # noqa: SLF001 - its own
            later = self.saga.due(scenario.state)
            if later is not None and later <= due:
                raise AssertionError(f"the deadline of {due} has passed, and the next one is {later}")
        return replace(scenario, time=until)

    def then(self, *commands: Command) -> Self:
        """The last thing that happened led to exactly these commands, in this order."""
        _same(_shown(commands), _shown(command for _, command in self._reaction().commands))
        return self

    def then_facts(self, *facts: Event) -> Self:
        """It led to exactly these facts, in this order."""
        _same(_shown(facts), _shown(self._reaction().facts))
        return self

    def then_nothing(self) -> Self:
        """It led to nothing."""
        return self.then().then_facts()

    def then_steps(self, *steps: str) -> Self:
        """Its commands have these steps for names, in this order."""
        _same(list(steps), [step for step, _ in self._reaction().commands])
        return self

    def _evolved(self, reaction: Reaction, facts: Iterable[Event]) -> Self:
        state = self.state
        for fact in facts:
            state = self.saga.evolve(state, fact, self.time)
        return replace(self, state=state, reaction=reaction)

    def _reaction(self) -> Reaction:
        if self.reaction is None:
            raise AssertionError("nothing happened yet: call when(message) or after(length) first")
        return self.reaction


@dataclass(frozen=True)
class ProjectionScenario:
    """A projection, and the facts it has seen."""

    projection: Projection
    facts: tuple[tuple[Event, Meta], ...] = ()
    time: datetime = NOON

    def given(self, *events: Event, at: datetime | None = None) -> Self:
        """Each event is the next version of its stream."""
        time, facts = at or self.time, list(self.facts)
        versions: dict[str, int] = {}
        for _, meta in facts:
            versions[meta.stream] = meta.version
        for event in events:
            version = versions[event.stream] = versions.get(event.stream, 0) + 1
            facts.append((event, meta_of(event, time, version)))
        return replace(self, facts=tuple(facts), time=time)

    def rows(self) -> list[Row]:
        """Rows of the model, as readers see them."""
        return fold(self.projection, self.facts)

    def then_rows(self, *rows: Row) -> Self:
        """The model has exactly these rows; of a row, the columns that are named here."""
        found = self.rows()
        if len(found) == len(rows):
            found = [{name: row.get(name) for name in expected} for row, expected in zip(found, rows, strict=True)]
        _same([_shown_row(row) for row in rows], [_shown_row(row) for row in found])
        return self

    def then_nothing(self) -> Self:
        """The model has no row."""
        return self.then_rows()


def _shown(messages: Iterable[Message]) -> list[str]:
    """A message as lines that compare by value: 5 and 5.00 are the same number."""
    return [
        line
        for message in messages
        for line in (
            f"{type(message).__name__}",
            *(f"    {name} = {plain(value)!r}" for name, value in msgspec.structs.asdict(message).items()),
        )
    ]


def _shown_row(row: Row) -> str:
    return ", ".join(f"{name} = {plain(value)!r}" for name, value in row.items())


def _same(expected: list[str], found: list[str]) -> None:
    if expected != found:
        shown = "\n".join(difflib.unified_diff(expected, found, "expected", "found", lineterm="", n=50))
        raise AssertionError(f"not what was expected:\n{shown}")
