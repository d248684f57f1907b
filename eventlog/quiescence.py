"""Moments at which every processor holds still: places in the history of all topics that one can go back to.

Under a load that never ends some transaction is always under way. So processors pause, all at the same times by their
own clocks: nobody has to be asked, and none waits for another. Whether nothing was under way then is found out by who
looks for it (`eventlog.upkeep.quiet`): where clocks differ, or a transaction takes longer, that moment is no use, and
the next one may be.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from eventlog.settings import Settings

PAUSE_S = 0.5
"""So long no transaction is begun: those under way end, and somebody looks. More than clocks differ by."""


class Pauses:
    """Times at which processors pause: every so many seconds since 1970; never, where that is 0."""

    def __init__(self, every_s: float, now: Callable[[], float] = time.time) -> None:
        self._every_s = every_s
        self._now = now

    @classmethod
    def of(cls, settings: Settings) -> Pauses:
        """Those that are set; none where there is no archive that somebody could go back with."""
        return cls(settings.cut_every_s if settings.s3 else 0.0)

    @property
    def left_s(self) -> float:
        """Until the pause is over that is now; 0 where none is."""
        return max(0.0, PAUSE_S - self._now() % self._every_s) if self._every_s else 0.0

    @property
    def next_s(self) -> float:
        """Until the next one begins; infinite where there is none."""
        return self._every_s - self._now() % self._every_s if self._every_s else float("inf")
