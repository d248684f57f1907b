"""The role of a saga, and of what feeds it; like every role pure functions over plain data, see `eventlog.roles`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from eventlog.envelope import Meta
from eventlog.message import Command, Event, Tick
from eventlog.topics import Domain, Topic


class Clock(NamedTuple):
    """The time that a saga may know: when what it reacts to arrived, or the tick that its deadline passed with."""

    now: datetime
    allowed: Mapping[str, timedelta]
    """By name, how long the saga waits: as declared, or as the settings say."""

    def due(self, name: str) -> datetime:
        """When something has to be there that is waited for from now on."""
        return self.now + self.allowed[name]


class Reaction(NamedTuple):
    """What a saga makes of something: facts about itself, and commands, each with the name of the step it is.

    A command's id is `<domain>/<key>/<step>`, so the same step is decided once, however often it is sent. A step that
    is to be decided again needs another name.
    """

    facts: tuple[Event, ...] = ()
    commands: tuple[tuple[str, Command], ...] = ()


@dataclass(frozen=True)
class Saga:
    """Leads what several domains do together to its end: reacts to their facts and refusals with commands.

    It reads `source`, its inbox, which its `relay` fills from the `sources`: `key(event, meta)` names the instance that
    a record is for, None for no one. `react(event, state, clock)` returns a `Reaction`; its facts are of the domain's
    `events`, in the stream of the key, and `evolve(state, fact, time)` makes the next state of them. `due(state)` says
    when the instance has waited long enough; then `react` is given `DeadlinePassed`, which comes before its facts and
    evolves the state like them. After that `due` must be later. `deadlines` are the names and lengths for `Clock.due`.
    Commands go to the `targets`.
    """

    domain: Domain
    sources: tuple[Topic, ...]
    targets: tuple[Domain, ...]
    key: Callable[[Any, Meta], str | None]
    react: Callable[[Any, Any, Clock], Reaction]
    evolve: Callable[[Any, Any, datetime], Any]
    due: Callable[[Any], datetime | None]
    state: Any
    initial: Any = None
    deadlines: Mapping[str, timedelta] = field(default_factory=dict)
    version: str = "1"
    """Written into every fact; give it another one when the saga may react differently."""

    @property
    def name(self) -> str:
        return f"{self.domain.name}.saga"

    @property
    def relay(self) -> Relay:
        """What feeds it."""
        return Relay(self)

    @property
    def source(self) -> Topic:
        """Its inbox: what it reacts to, by key, in the one order in which it reacts; and the ticks of its clock."""
        types = dict.fromkeys(cls for topic in self.sources for cls in topic.types)
        retention = self.domain.command_retention
        return Topic(f"{self.domain.name}.inbox", (*types, Tick), self.domain.partitions, retention=retention)

    @property
    def changelog(self) -> Topic:
        return Topic(f"{self.name}.changelog", (), self.domain.partitions, compacted=True, dead_letters=False)


@dataclass(frozen=True)
class Relay:
    """Brings to a saga's inbox what is for it, from topics whose keys are others than the saga's; made by `Saga`."""

    saga: Saga

    @property
    def domain(self) -> Domain:
        return self.saga.domain

    @property
    def name(self) -> str:
        return f"{self.domain.name}.relay"

    @property
    def sources(self) -> tuple[Topic, ...]:
        return self.saga.sources

    @property
    def changelog(self) -> Topic:
        """Of positions alone; one partition for each of a source, so that no other's transaction is in the way."""
        partitions = sum(topic.partitions for topic in self.sources)
        return Topic(f"{self.name}.changelog", (), partitions, compacted=True, dead_letters=False)

    def place(self, topic: str, partition: int) -> int:
        """The changelog's partition for one of a source."""
        names = [source.name for source in self.sources]
        return sum(source.partitions for source in self.sources[: names.index(topic)]) + partition
