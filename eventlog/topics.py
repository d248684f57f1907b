"""Topics are declared in code: what they carry, how many partitions, what is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from eventlog.message import Command, CommandAnswered, CommandRejected, Event, Message

RECORD_BYTES_MAX = 1024 * 1024
"""A record with a larger value is not read but dead-lettered."""
WIRE_BYTES_MAX = 12 * 1024 * 1024
"""What a topic takes at all, so that a record over the limit above is seen, and named, and not lost."""
PARTITIONS = 4
"""Of every keyed topic of a domain: the same key is in the same partition of all of them."""
COMPACTION_LAG_S = 600
"""So long Kafka keeps every record of a compacted topic: whoever archives one has the time to."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic: `types` are the only records it may carry; `retention` None keeps them for ever."""

    name: str
    types: tuple[type[Message], ...] = ()
    partitions: int = PARTITIONS
    compacted: bool = False
    retention: timedelta | None = None
    dead_letters: bool = True
    """Whether records of this topic that cannot be read have a `<name>.dead` to go to."""
    wire_bytes_max: int = WIRE_BYTES_MAX

    @property
    def dead(self) -> Topic:
        """The topic's dead letters, by (role, partition, offset); a tombstone says that one is done with."""
        room = self.wire_bytes_max + 64 * 1024  # the original record, and the headers that say what was wrong
        name = f"{self.name}.dead"
        return Topic(name, (), self.partitions, compacted=True, dead_letters=False, wire_bytes_max=room)

    def config(self) -> dict[str, str]:
        """The broker's configuration of this topic."""
        compacted = {"min.compaction.lag.ms": str(COMPACTION_LAG_S * 1000)} if self.compacted else {}
        retention_ms = -1 if self.retention is None else int(self.retention.total_seconds() * 1000)
        return {
            "cleanup.policy": "compact" if self.compacted else "delete",
            "retention.ms": str(retention_ms),
            "retention.bytes": "-1",  # a broker's default may cut by size what is to be kept for ever
            "unclean.leader.election.enable": "false",  # a copy that lags must not become the truth
            "max.message.bytes": str(self.wire_bytes_max),
        } | compacted


@dataclass(frozen=True, slots=True)
class Upcaster:
    """What a message of a class that is no longer written means today.

    `into(message)` returns the messages of now that it became: one, several or none for an event, exactly one for a
    command. Pure, and the same for ever. They may again be of a class that another upcaster begins with.
    """

    old: type[Message]
    into: Callable[[Any], Iterable[Message]]


@dataclass(frozen=True)
class Domain:
    """A domain's vocabulary and the topics that carry it.

    `commands` are decided into `events`, `events` are enriched into `enriched`; `facts` are topics of
    their own that clients publish to directly. Without commands, `events` are what a saga says of itself.
    """

    name: str
    commands: tuple[type[Command], ...] = ()
    events: tuple[type[Event], ...] = ()
    enriched: tuple[type[Event], ...] = ()
    facts: tuple[Topic, ...] = ()
    partitions: int = PARTITIONS
    command_retention: timedelta = timedelta(days=30)
    upcasters: tuple[Upcaster, ...] = ()
    _topics: dict[str, Topic] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.commands:
            self._add("commands", self.commands, self.command_retention)
            self._add("events", self.events, None)
            self._add("rejections", (CommandRejected,), None)
            self._add("outcomes", (CommandAnswered,), timedelta(days=1))
        elif self.events:
            self._add("events", self.events, None)  # a saga's: facts that no command of its own leads to
        if self.enriched:
            self._add("enriched", self.enriched, None)
        for topic in self.facts:
            self._topics[topic.name] = topic

    def _add(self, kind: str, types: tuple[type[Message], ...], retention: timedelta | None) -> None:
        name = f"{self.name}.{kind}"
        self._topics[kind] = Topic(name, types, self.partitions, retention=retention)

    def topic(self, kind: str) -> Topic:
        """The domain's `commands`, `events`, `rejections`, `outcomes` or `enriched` topic."""
        return self._topics[kind]

    def topics(self) -> Iterator[Topic]:
        return iter(self._topics.values())

    def published(self) -> dict[str, tuple[type[Message], Topic]]:
        """What clients may publish, by type name: commands, and the types of fact topics."""
        found: dict[str, tuple[type[Message], Topic]] = {c.__name__: (c, self.topic("commands")) for c in self.commands}
        for topic in self.facts:
            found.update({t.__name__: (t, topic) for t in topic.types})
        return found
