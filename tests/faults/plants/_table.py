"""Which case of the campaign must find which planted bug, and by what. `make faults-plants` holds it to that."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.faults.kinds import KINDS, state_of
from tests.faults.kinds.places import PROCESSORS
from tests.faults.kinds.workers import place_of, stopped_at

POISON, SAGA = "poison", "saga"
CAMPAIGNS = (POISON, SAGA)
"""Kinds that are campaigns of their own; their cases are seeds."""


@dataclass(frozen=True)
class Planted:
    """How the campaign must find a bug."""

    kind: str
    numbers: Sequence[int]
    """Cases of the kind to be tried, in this order, at the most."""
    invariants: frozenset[str]
    """Which of them may be the first to be violated; another one would say that something else is wrong."""

    @property
    def state(self) -> str:
        """Where the processors keep theirs."""
        return "memory" if self.kind in CAMPAIGNS else state_of(self.kind, self.numbers[0])


def what(name: str) -> str:
    """The bug in one line."""
    said = importlib.import_module(f"{__package__}.{name}").__doc__ or ""
    return said.strip().splitlines()[0].removesuffix(".")


def _cases(kind: str, invariants: str, wanted: Callable[[int], Any], state: str = "memory") -> Planted:
    """Those of the campaign's own cases that may find it, up to eight."""
    planned = KINDS[kind].cases
    numbers = [n for n in range(planned) if state_of(kind, n) == state and wanted(n)][:8]
    return Planted(kind, numbers, frozenset(invariants.split()))


def _killed(invariants: str, points: str = "", roles: Iterable[str] = PROCESSORS, state: str = "memory") -> Planted:
    """A kill at one of the points (several in one word list), or at a random moment."""
    if not points:
        return _cases("kill", invariants, lambda n: place_of(n) is None, state)
    places = {(point, role) for point in points.split() for role in roles}
    return _cases("kill", invariants, lambda n: place_of(n) in places, state)


def _woken(invariants: str, model: str) -> Planted:
    """A worker stops with rows of the model in hand.

    Rows that it writes too late are often right again when it has read on, before anybody looks: after the campaign's
    own cases come those that would follow, with other loads.
    """
    place = ("before_store_write", model)
    return Planted(
        "zombie", [n for n in range(4 * KINDS["zombie"].cases) if stopped_at(n) == place], frozenset(invariants.split())
    )


def _saga(wrong: str) -> Planted:
    """Orders, kills and a rough provider; one of these must be wrong first."""
    return Planted(SAGA, (1, 2, 3), frozenset(wrong.split()))


_DECIDER = PROCESSORS[:1]
_STORE_POINTS = "before_store_commit after_store_commit"

PLANTS: Mapping[str, Planted] = {
    # Position, outputs and changelog of a processor
    "position_before_outputs": _killed("I1 I2", "before_produce after_commit before_offsets"),
    "position_not_in_changelog": _killed("I2 I5"),
    "position_one_less": _killed("I2 I5"),
    "position_one_more": _killed("I1 I2"),
    "changelog_skipped": _killed("I1 I2 I5"),
    "changelog_put_off": _killed("I2 I5"),
    "version_reused": _killed("I2"),
    "refusals_not_in_changelog": _cases("twice", "I2", lambda n: n % 2),
    "state_before_commit": _cases("broker", "I1 I2 I5", lambda n: n % 3),
    "no_fence": _cases("zombie", "I2 I5", lambda _: True),
    "reads_uncommitted": _killed("I2", "after_produce before_offsets after_offsets before_commit", _DECIDER),
    "recovery_reads_aborted": _killed("I1 I2", "before_commit after_offsets"),
    # The same command again
    "dedup_off": _cases("twice", "I2 I5", lambda _: True),
    "dedup_not_restored": _cases("twice", "I2 I5", lambda n: n % 2),
    # Rows and position of a read model
    "rows_first": _killed("I3", _STORE_POINTS, ("portfolio",)),
    "position_first": _killed("I1 I3 I6", _STORE_POINTS, ("ledger", "risk_alerts")),
    "table_rows_first": _killed("I3 I6", _STORE_POINTS, ("ledger", "risk_alerts")),
    "no_fence_in_postgres": _woken("I3 I6", "positions"),
    "no_fence_in_redis": _woken("I3", "portfolio"),
    "emptied_not_noticed": _cases("stores", "I3", lambda n: n % 5 == 4),
    "remembered_position": _cases("stores", "I3", lambda n: n % 5 == 4),
    "batch_skipped_on_error": _cases("stores", "I1 I3", lambda n: n % 5 < 2),
    "add_dropped_by_put": _cases("twice", "I3", lambda _: True),
    "money_as_float": _cases("twice", "I3", lambda _: True),
    # State on disk
    "disk_before_commit": _killed("I1 I2", "before_commit before_offsets after_offsets", state="rocksdb"),
    "disk_rows_unlogged": _killed("I2", state="rocksdb"),
    "disk_tail_not_read": _killed("I2 I5", "after_commit", state="rocksdb"),
    # What cannot be read
    "letters_dropped": Planted(POISON, (1, 2), frozenset({"I5"})),
    # Orders and their saga
    "saga_charged_again": _saga("money"),
    "saga_late_charge_kept": _saga("money"),
    "saga_late_line_kept": _saga("stock"),
    "saga_state_not_kept": _saga("ends stock money sent"),
    "saga_calls_not_kept": _saga("ends stock money"),
    "saga_inbox_without_position": _saga("inbox"),
}
"""By module."""
