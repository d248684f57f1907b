"""How far a rebuild is, as it is told to whoever waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from eventlog.sink import Progress
from projections.folding import Place

TOLD_S = 0.1


@dataclass(frozen=True)
class ReplayProgress:
    """How far a replay is; `rate` in offsets/s since it began or went on, `seconds_left` of the building alone."""

    phase: str
    """`building`, `comparing`, `switching`."""
    done: int
    total: int
    rate: float
    seconds_left: float
    partitions: Mapping[Place, tuple[int, int]] = field(default_factory=dict)
    """Of each (topic, partition): the next offset, and the one to come to."""


OnProgress = Callable[[ReplayProgress], None]


class Teller:
    """Tells somebody, not too often."""

    def __init__(self, told: OnProgress | None) -> None:
        self._told = told
        self._at: Progress = {}
        self._target: Progress = {}
        self._began = time.monotonic()
        self._before = 0
        self._last = 0.0
        self.seconds = 0.0
        """Of building."""

    def begin(self, at: Progress, target: Progress) -> None:
        """Building begins, or goes on, at these positions."""
        self._target = dict(target)
        self._at = {place: min(at.get(place, 0), end) for place, end in target.items()}
        self._began, self._before = time.monotonic(), sum(self._at.values())
        self.phase("building")

    def built(self) -> None:
        """It has come to its target."""
        self.seconds = time.monotonic() - self._began
        self._at = dict(self._target)

    def advance(self, place: Place, following: int) -> None:
        """A partition has come this far."""
        self._at[place] = following
        if time.monotonic() - self._last >= TOLD_S:
            self.phase("building")

    def phase(self, phase: str) -> None:
        """Tell where things stand, whenever it was told last."""
        if self._told is None:
            return
        self._last = time.monotonic()
        done, total = sum(self._at.values()), sum(self._target.values())
        rate = (done - self._before) / max(self._last - self._began, 1e-3)
        left = max(0.0, (total - done) / rate) if rate else 0.0
        partitions = {place: (self._at.get(place, 0), end) for place, end in self._target.items()}
        self._told(ReplayProgress(phase, min(done, total), total, rate, left, partitions))
