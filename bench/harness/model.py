"""What a bench is made of: contests of contestants that run in turn, and the rows that are read from their runs."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from bench.harness.stand import Stand

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Run:
    """One run of one contestant: figures by name (`rate` in records/s, where there is one) and what to know of it."""

    figures: Figures
    notes: tuple[str, ...] = ()


class Contestant(Protocol):
    """Something that is measured. Each run starts it afresh, and leaves nothing running and no topic behind."""

    @property
    def name(self) -> str: ...

    @property
    def what(self) -> str:
        """Program, version and settings, for the report."""
        ...

    def missing(self) -> str | None:
        """What the machine lacks to run it; None where nothing."""
        ...

    def prepare(self, stand: Stand) -> None:
        """Whatever takes long and is done once: fetch, compile, install."""
        ...

    def run(self, stand: Stand, number: int) -> Run:
        """One measured run. Raises when anything went wrong or the output is not what it should be."""
        ...


class Ready:
    """A contestant, or a part of one, that needs nothing that is not there, and nothing beforehand."""

    def missing(self) -> str | None:
        return None

    def prepare(self, stand: Stand) -> None:
        pass


Runs = Mapping[str, Run]
"""One round: the run of every contestant, by name."""


@dataclass(frozen=True)
class Target:
    """A limit for the median of a row."""

    limit: float
    sense: Literal["at least", "at most"] = "at least"

    def met(self, median: float) -> bool:
        return median >= self.limit if self.sense == "at least" else median <= self.limit

    def __str__(self) -> str:
        return f"{'≥' if self.sense == 'at least' else '≤'} {number(self.limit)}"


@dataclass(frozen=True)
class Row:
    """One line of the table: a value of each round, its median and spread, and what it should be.

    Without a target the row is only reported.
    """

    name: str
    what: str
    value: Callable[[Runs], float]
    needs: tuple[str, ...]
    """Contestants that it is read from."""
    target: Target | None = None
    unit: str = "×"
    note: str = ""


@dataclass(frozen=True)
class Contest:
    """Contestants that run in turn, round by round, so that each row compares runs of the same minutes."""

    name: str
    what: str
    contestants: Sequence[Contestant]
    rows: Sequence[Row]
    prepare: Callable[[Stand], None] = field(default=lambda _: None)
    """Before the first round: fill topics, make tables."""
    load: Callable[[int], str] = field(default=lambda commands: f"{commands:,} commands")
    """What there is to work on, in words, when so many commands are asked for."""
    rounds_max: int | None = None
    """Where a round takes long and compares nothing."""


def ratio(name: str, what: str, over: str, under: str, *, at_least: float | None = None, figure: str = "rate",
          note: str = "") -> Row:  # fmt: skip
    """A row that divides the same figure of two contestants."""
    return Row(
        name,
        what,
        lambda runs: runs[over].figures[figure] / runs[under].figures[figure],
        (over, under),
        None if at_least is None else Target(at_least),
        note=note,
    )


def figure(
    name: str, what: str, of: str, figure: str, unit: str, *, target: Target | None = None, note: str = ""
) -> Row:
    """A row that shows one contestant's figure."""
    return Row(name, what, lambda runs: runs[of].figures[figure], (of,), target, unit, note)


@dataclass(frozen=True)
class Spread:
    """Several measurements of one thing."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        return min(self.values)

    @property
    def high(self) -> float:
        return max(self.values)

    def __str__(self) -> str:
        if len(self.values) == 1:
            return number(self.median)
        return f"{number(self.median)} ({number(self.low)} to {number(self.high)})"


def number(value: float) -> str:
    """Three digits that count, thousands apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 or value == 0 else f"{value:.1e}"
