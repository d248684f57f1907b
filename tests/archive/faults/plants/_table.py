"""Which fault must bring which planted bug to light, and which invariant must be violated by it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Fault = tuple[tuple[str, int] | None, dict[str, Any] | None]
"""A kill at a point, for the nth time; or what the store is told; neither is no fault at all."""

NONE: Fault = (None, None)


@dataclass(frozen=True)
class Planted:
    """How a bug must be found."""

    operation: str
    faults: Sequence[Fault]
    """Tried in this order, with other records each time."""
    invariants: frozenset[str]
    """Which of them may be the first to be violated; another one would say that something else is wrong."""


def what(name: str) -> str:
    """The bug in one line."""
    said = importlib.import_module(f"{__package__}.{name}").__doc__ or ""
    return said.strip().splitlines()[0].removesuffix(".")


def _any(operation: str, invariants: str, tries: int = 2) -> Planted:
    """Something that goes wrong without any fault."""
    return Planted(operation, [NONE] * tries, frozenset(invariants.split()))


def _killed(operation: str, invariants: str, *points: str) -> Planted:
    faults: list[Fault] = [((point, number), None) for number in (2, 1) for point in points]
    return Planted(operation, faults, frozenset(invariants.split()))


def _store(operation: str, invariants: str, kind: str, *parts: str) -> Planted:
    """What the store does to the first requests for such a path."""
    fault: Fault = (None, {"kinds": [kind], "parts": list(parts), "limit": 1})
    return Planted(operation, [fault] * 2, frozenset(invariants.split()))


PLANTS: Mapping[str, Planted] = {
    # Files and positions of the archiver
    "position_before_file": _killed("archive", "A1", "after append"),
    "position_one_less": _any("archive", "A1 A2 A3 A6"),
    "position_one_more": _any("archive", "A1 A2 A3 A6"),
    "schemas_last": _killed("archive", "A5", "after append"),
    "no_fence": _any("two", "A1 A3"),
    "empty_is_nothing": _any("archive", "A1"),
    "oldest_dropped": _any("archive", "A1"),
    "header_twice": _any("archive", "A1", 4),
    "aborted_archived": _any("archive", "A1 A6", 4),
    # Compaction and sweeping
    "not_read_back": _store("compact", "A1", "not kept", "/cold/"),
    "tail_dropped": _any("compact", "A1"),
    "facts_by_key": _any("compact", "A1 A2 A3"),
    "first_of_key": _any("keyed", "A1 A2"),
    "past_the_cut": _any("keyed_uncut", "A6"),
    "orphans_at_once": _any("swept", "A1 A6"),
    "named_are_swept": _any("swept", "A1 A6"),
    "told_after": _killed("compact", "A4", "after delete"),
    # Kafka, deletion, the frozen tier
    "forgotten_untold": _killed("forget", "A4", "before tell"),
    "forgets_too_much": _any("forget_part", "A1 A2 A6"),
    "forgets_unproved": _any("forget_differing", "A6"),
    "deleted_untold": _killed("delete", "A4", "before tell"),
    "begin_stays": _any("delete", "A1"),
    "frozen_blindly": _store("freeze", "A1", "not kept", "/frozen/"),
    "frozen_unread": _any("read", "A2 A6"),
    "digest_unchecked": _any("altered", "A6"),
    # Bringing a cluster back
    "offsets_moved": _any("bootstrap", "A1 A2 A6", 4),
    "whole_too_soon": _killed("bootstrap", "A1 A2 A6", "after fill", "before fill"),
    "half_is_enough": _killed("bootstrap", "A1 A2 A6", "after fill", "before fill"),
    "cut_ignored": _any("torn", "A6"),
    "rewound_in_part": _any("rewind", "A1 A3 A6"),
    # Rebuilds and checkpoints
    "goes_on_too_far": _killed("replay", "A6", "after rows", "before rows"),
    "differing_switched": _any("replay", "A7"),
    "versions_stay": _any("replay_again", "A8"),
    "checkpoint_past_its_rows": _any("checkpoint", "A9", 3),
}
