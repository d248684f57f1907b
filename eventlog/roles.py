"""The roles of a domain: pure functions over plain data, handed to the kernel as data.

None of them does I/O, reads a clock or draws a random number: what they need is in their arguments.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar, Union, get_args, get_origin, get_type_hints

from eventlog.envelope import Meta
from eventlog.message import Command, CommandAnswered, Event
from eventlog.models import Model
from eventlog.operations import Operation
from eventlog.sagas import Relay, Saga
from eventlog.state import StateKind
from eventlog.topics import Domain, Topic, Upcaster


class ReferenceTable(dict[str, tuple[Any, datetime]]):
    """Newest record of each key of a compacted topic, with its time: `table[key] == (message, time)`."""


References = Mapping[str, ReferenceTable]
"""By topic name."""


@dataclass(frozen=True)
class Decider:
    """Decides a domain's commands into events.

    `decide(command, state, time)` returns events or raises `Refused`; `evolve(state, event, time)` returns
    the next state. `initial` is the state of a stream that has no events, `state` its class (a frozen
    `msgspec.Struct`, `None` allowed as `initial`), which is how it is kept in the changelog. `version` is
    written into every fact; give it another one when the same command may be decided differently.
    `state_store` "rocksdb" keeps the streams on the worker's disk, with those used last in memory.
    """

    domain: Domain
    decide: Callable[[Any, Any, datetime], Iterable[Event]]
    evolve: Callable[[Any, Any, datetime], Any]
    state: Any
    initial: Any = None
    version: str = "1"
    state_store: StateKind = "memory"

    @property
    def name(self) -> str:
        return f"{self.domain.name}.decider"

    @property
    def source(self) -> Topic:
        return self.domain.topic("commands")

    @property
    def sources(self) -> tuple[Topic, ...]:
        return (self.source,)

    @property
    def changelog(self) -> Topic:
        return Topic(f"{self.name}.changelog", (), self.domain.partitions, compacted=True, dead_letters=False)


@dataclass(frozen=True)
class Enricher:
    """Adds what a fact means to it: derived facts, computed once and kept.

    `enrich(event, state, references, time)` returns the enriched facts and the next state of the stream.
    Facts of the domain's `enriched` types stay in the stream's partition; a fact of a type that one of
    `also` carries goes there, by its own key. `state_store` "rocksdb" keeps the streams on the worker's disk,
    with those used last in memory.
    """

    domain: Domain
    enrich: Callable[[Any, Any, References, datetime], tuple[Iterable[Event], Any]]
    state: Any
    initial: Any = None
    references: tuple[Topic, ...] = ()
    also: tuple[Topic, ...] = ()
    version: str = "1"
    """Written into every fact; give it another one when the same event may be enriched differently."""
    state_store: StateKind = "memory"

    @property
    def name(self) -> str:
        return f"{self.domain.name}.enricher"

    @property
    def source(self) -> Topic:
        return self.domain.topic("events")

    @property
    def sources(self) -> tuple[Topic, ...]:
        return (self.source,)

    @property
    def changelog(self) -> Topic:
        return Topic(f"{self.name}.changelog", (), self.domain.partitions, compacted=True, dead_letters=False)


@dataclass(frozen=True)
class Projection:
    """Folds facts into a read model: `on(event, meta)` returns row operations.

    `sources` are the topics it reads; where there are several, each sets columns of its own, because the
    order between topics is not fixed. The annotation of `event` says which of their types it is for: facts of
    others are not given to it, and not even decoded.
    """

    domain: Domain
    model: Model
    sources: tuple[Topic, ...]
    on: Callable[[Any, Meta], Iterable[Operation]]

    @property
    def name(self) -> str:
        return f"{self.domain.name}.{self.model.name}"

    @cached_property
    def wanted(self) -> frozenset[type[Any]]:
        """Types of its topics that `on` is for; all of them where the annotation does not tell."""
        return _wanted(self.on, (cls for topic in self.sources for cls in topic.types))


@dataclass(frozen=True)
class Call:
    """What somebody outside is asked to do: `body` (JSON) is posted to `path`; under one `key` it is done once."""

    path: str
    body: Mapping[str, Any]
    key: str


@dataclass(frozen=True)
class Reply:
    """What somebody outside said for good: an HTTP status from 200 to 499, and the JSON object that came with it."""

    status: int
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Effect:
    """Has something done outside of the process for facts that ask for it, and says so by commands.

    `ask(event, meta)` returns the `Call` that a fact asks for, or None; the runtime makes it, again and again under
    the same key until it is answered; `answer(event, reply)` returns what the reply means, as commands of the domain.
    Both are pure, and nothing that is rebuilt from the log calls anybody: an effect is no projection. Calls of one
    stream are made in the order of its facts, each after the one before was answered; streams do not wait for each
    other. `outside` is whom to ask: `ONEFACT_<OUTSIDE>_URL` and the settings beside it. The annotation of `ask` says
    which types of the domain's events it is for.
    """

    domain: Domain
    outside: str
    ask: Callable[[Any, Meta], Call | None]
    answer: Callable[[Any, Reply], Iterable[Command]]
    version: str = "1"
    """Written into every command; give it another one when the same reply may mean something else."""

    @property
    def name(self) -> str:
        return f"{self.domain.name}.effect"

    @property
    def source(self) -> Topic:
        return self.domain.topic("events")

    @property
    def sources(self) -> tuple[Topic, ...]:
        return (self.source,)

    @property
    def changelog(self) -> Topic:
        return Topic(f"{self.name}.changelog", (), self.domain.partitions, compacted=True, dead_letters=False)

    @cached_property
    def wanted(self) -> frozenset[type[Any]]:
        """Types of the domain's events that `ask` is for."""
        return _wanted(self.ask, self.source.types)


@dataclass(frozen=True)
class Source:
    """What clients may publish to a domain, and `sample(count, seed)`: CloudEvents (as dicts) to try it with.

    `also` are domains whose messages may come with the domain's own, each going to its own topics. `answer(fact)` is
    what somebody outside says to a fact of the domain when samples are run: a command, or None.
    """

    domain: Domain
    sample: Callable[[int, int], Iterable[dict[str, Any]]] | None = None
    also: tuple[Domain, ...] = ()
    answer: Callable[[Event], Command | None] | None = None


def _wanted(function: Callable[..., Any], carried: Iterable[type[Any]]) -> frozenset[type[Any]]:
    """Those of the types that the annotation of the function's first argument names; all where it does not tell."""
    first = next(iter(inspect.signature(function).parameters), "")
    hint = get_type_hints(function).get(first, Any)
    named = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    if not all(isinstance(each, type) and issubclass(each, Event) for each in named):
        return frozenset(carried)
    return frozenset(cls for cls in carried if issubclass(cls, tuple(named)))


Processor = Decider | Enricher | Effect | Saga | Relay
Role = Processor | Projection


def read_by(role: Role) -> tuple[Topic, ...]:
    """The topics that a role reads: of a saga its inbox, what fills that being read by its relay."""
    return (role.source,) if isinstance(role, Saga) else role.sources


@dataclass(frozen=True)
class Archiver:
    """Keeps topics in object storage, record by record as they are; made by `Catalog`."""

    sources: tuple[Topic, ...]
    published: frozenset[str] = frozenset()
    """Those of them that clients write to, by name."""
    name: ClassVar[str] = "archiver"


@dataclass(frozen=True)
class Catalog:
    """Every domain and role that discovery found."""

    domains: tuple[Domain, ...] = ()
    sources: tuple[Source, ...] = ()
    deciders: tuple[Decider, ...] = ()
    enrichers: tuple[Enricher, ...] = ()
    projections: tuple[Projection, ...] = ()
    effects: tuple[Effect, ...] = ()
    sagas: tuple[Saga, ...] = ()
    topics: tuple[Topic, ...] = field(init=False)

    def __post_init__(self) -> None:
        found: dict[str, Topic] = {}
        declared = [t for d in self.domains for t in d.topics()]
        declared += [d.changelog for d in self.deciders]
        declared += [e.changelog for e in self.enrichers]
        declared += [e.changelog for e in self.effects]
        declared += [t for s in self.sagas for t in (s.source, s.changelog, s.relay.changelog)]
        for topic in declared:
            for each in (topic, topic.dead) if topic.dead_letters else (topic,):
                if found.setdefault(each.name, each) != each:
                    raise TypeError(f"topic {each.name} is declared twice, differently")
        object.__setattr__(self, "topics", tuple(sorted(found.values(), key=lambda t: t.name)))

    @property
    def relays(self) -> tuple[Relay, ...]:
        """One for each saga."""
        return tuple(saga.relay for saga in self.sagas)

    @property
    def processors(self) -> tuple[Processor, ...]:
        """The roles whose output is in Kafka."""
        return (*self.deciders, *self.enrichers, *self.effects, *self.relays, *self.sagas)

    @property
    def archiver(self) -> Archiver:
        """Of every topic but the answers, which nobody needs once they were given.

        Changelogs too: they hold the positions that make a processor's output exactly once, and what cannot be worked
        out again, such as the prices that an enricher saw.
        """
        return Archiver(tuple(t for t in self.topics if CommandAnswered not in t.types), self.published)

    @property
    def published(self) -> frozenset[str]:
        """Names of the topics that clients write to; processors may, too."""
        return frozenset(topic.name for domain in self.domains for _, topic in domain.published().values())

    @property
    def message_types(self) -> tuple[type[Any], ...]:
        """Every class that some topic carries."""
        return tuple(dict.fromkeys(t for topic in self.topics for t in topic.types))

    @property
    def upcasters(self) -> tuple[Upcaster, ...]:
        """Those of every domain."""
        return tuple(u for domain in self.domains for u in domain.upcasters)

    @property
    def readable_types(self) -> tuple[type[Any], ...]:
        """Those, and the classes that are only read any more, because upcasters begin with them."""
        return self.message_types + tuple(upcaster.old for upcaster in self.upcasters)

    def topic(self, name: str) -> Topic:
        """The declared topic; raises `KeyError`."""
        return next(t for t in self.topics if t.name == name)
