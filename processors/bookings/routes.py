"""Who is told of what: tables, looked up by the enricher.

A row holds for events of its type whose facts meet all of its conditions. The facts are the event's own fields, and
`match_yellows`, the number of yellow cards shown in the match so far, this one included; for `ROUTES` also `urgency`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

from schemas.bookings import MatchStarted, PlayerBooked, PlayerSentOff, PlayerSubstituted

Audience = Literal["tv", "news", "social", "statistics"]
Comparison = Literal["=", ">=", "<"]


class Condition(NamedTuple):
    """One of the facts, against a value."""

    fact: str
    comparison: Comparison
    value: str | int


class Route(NamedTuple):
    """Events of this type, under these conditions, are told to these audiences."""

    event: type[Any]
    conditions: tuple[Condition, ...]
    audiences: tuple[Audience, ...]


class Urgency(NamedTuple):
    """How urgent a piece of news is: 0 to 100."""

    event: type[Any]
    conditions: tuple[Condition, ...]
    score: int


ALERT_URGENCY_MIN = 70

URGENCIES = (
    Urgency(PlayerSentOff, (), 90),
    Urgency(PlayerBooked, (Condition("match_yellows", ">=", 5),), 75),
    Urgency(PlayerBooked, (), 50),
    Urgency(PlayerSubstituted, (), 50),
)
"""The first row that holds counts."""

PRIORITIES = ((90, "urgent"), (ALERT_URGENCY_MIN, "high"), (0, "normal"))
"""Priority from an urgency on, highest first."""

URGENT = (Condition("urgency", ">=", ALERT_URGENCY_MIN),)

ROUTES = (
    Route(MatchStarted, (), ("statistics",)),
    Route(PlayerBooked, (), ("tv", "social", "statistics")),
    Route(PlayerBooked, URGENT, ("news",)),
    Route(PlayerSentOff, (), ("tv", "social", "statistics")),
    Route(PlayerSentOff, URGENT, ("news",)),
    Route(PlayerSubstituted, (), ("tv", "statistics")),
    Route(PlayerSubstituted, URGENT, ("news",)),
)
"""Every row that holds counts, in this order."""

_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {"=": operator.eq, ">=": operator.ge, "<": operator.lt}


def holds(conditions: Iterable[Condition], facts: Mapping[str, Any]) -> bool:
    """Whether the facts meet all conditions."""
    return all(_COMPARE[comparison](facts[fact], value) for fact, comparison, value in conditions)


def urgency_of(event: type[Any], facts: Mapping[str, Any]) -> int:
    """Score of the first row of `URGENCIES` that holds; 0 where none does."""
    return next((row.score for row in URGENCIES if row.event is event and holds(row.conditions, facts)), 0)


def priority_of(urgency: int) -> str:
    """The priority that an urgency stands for."""
    return next(name for least, name in PRIORITIES if urgency >= least)


def audiences_of(event: type[Any], facts: Mapping[str, Any]) -> tuple[Audience, ...]:
    """Who is told, each once."""
    found = (a for row in ROUTES if row.event is event and holds(row.conditions, facts) for a in row.audiences)
    return tuple(dict.fromkeys(found))
