"""A domain as small as can be, to test the runtime with: numbers are added to counters."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar

import msgspec

from eventlog.envelope import Meta
from eventlog.errors import Refused
from eventlog.message import Command, Event
from eventlog.models import Hash, Table
from eventlog.operations import Add, Append, Operation, Put
from eventlog.roles import Catalog, Decider, Enricher, Projection, References
from eventlog.topics import Domain


class Count(Command, frozen=True, kw_only=True):
    """Add a number to a counter; 0 changes nothing, a negative one is refused, 13 is a bug in `decide`."""

    stream_field: ClassVar[str] = "counter_id"
    namespace: ClassVar[str] = "onefact.counting"
    counter_id: str
    number: int
    times: int = 1


class Counted(Event, frozen=True, kw_only=True):
    """A number was added; `total` is the counter after it."""

    stream_field: ClassVar[str] = "counter_id"
    namespace: ClassVar[str] = "onefact.counting"
    counter_id: str
    number: int
    total: int


class Doubled(Event, frozen=True, kw_only=True):
    """Twice the number, and how many have been doubled."""

    stream_field: ClassVar[str] = "counter_id"
    namespace: ClassVar[str] = "onefact.counting"
    counter_id: str
    number: int
    count: int


class Total(msgspec.Struct, frozen=True):
    """The counter."""

    total: int = 0


COUNTING = Domain("counting", (Count,), (Counted,), (Doubled,))


def decide(command: Count, state: Total | None, _: datetime) -> Iterable[Event]:
    if command.number < 0:
        raise Refused("negative", "numbers are 0 or more")
    if command.number == 13:
        raise RuntimeError("a bug")
    if command.number == 0:
        return []
    total = state.total if state else 0
    return [
        Counted(counter_id=command.counter_id, number=command.number, total=total + command.number * (i + 1))
        for i in range(command.times)
    ]


def evolve(_: Total | None, event: Counted, __: datetime) -> Total:
    return Total(event.total)


def enrich(event: Counted, state: Total | None, _: References, __: datetime) -> tuple[list[Event], Total]:
    after = Total((state.total if state else 0) + 1)
    return [Doubled(counter_id=event.counter_id, number=event.number * 2, count=after.total)], after


DECIDER = Decider(COUNTING, decide, evolve, Total)
ENRICHER = Enricher(COUNTING, enrich, Total)


def log_row(event: Any, meta: Meta) -> Iterable[Operation]:
    yield Append((event.counter_id, meta.version), {"number": event.number, "command": meta.causation})


def sums(event: Any, meta: Meta) -> Iterable[Operation]:
    key = (event.counter_id,)
    if isinstance(event, Counted):
        yield Add(key, {"total": event.number})
        yield Put(key, {"version": meta.version})
    else:
        yield Add(key, {"doubled": event.number})


JOURNAL = Projection(
    COUNTING,
    Table("counts", ("counter_id", "version"),
          {"counter_id": "text", "version": "integer", "number": "integer", "command": "text"}),
    (COUNTING.topic("events"),),
    log_row,
)  # fmt: skip
SUMS = Projection(
    COUNTING,
    Hash(
        "sums", ("counter_id",), {"counter_id": "text", "total": "integer", "version": "integer", "doubled": "integer"}
    ),
    (COUNTING.topic("events"), COUNTING.topic("enriched")),
    sums,
)
CATALOG = Catalog(domains=(COUNTING,), deciders=(DECIDER,), enrichers=(ENRICHER,), projections=(JOURNAL, SUMS))
