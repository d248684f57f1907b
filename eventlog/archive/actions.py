"""Files as actions of a table's commit, and what a commit that replaces some must keep."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eventlog.archive.segments import Segment


def add(segment: Segment, *, data_change: bool) -> Any:
    from deltalake.transaction import AddAction

    stats = {
        "numRecords": segment.records,
        "minValues": {"offset": segment.begin},
        "maxValues": {"offset": segment.end - 1},
    }
    return AddAction(
        path=segment.path,
        size=segment.size,
        partition_values={"partition": str(segment.partition), "tier": segment.tier},
        modification_time=segment.written_ms,
        data_change=data_change,
        stats=json.dumps(stats),
    )


def remove(segment: Segment, at_ms: int, *, data_change: bool) -> Any:
    from deltalake.transaction import RemoveAction

    return RemoveAction(
        path=segment.path,
        data_change=data_change,
        deletion_timestamp=at_ms,
        size=segment.size,
        partition_values={"partition": str(segment.partition), "tier": segment.tier},
    )


def require_same_ranges(old: Sequence[Segment], new: Sequence[Segment], *, fewer: bool) -> None:
    """Replacing must keep every range, and every count of records but where older ones of a key go."""
    for which in {(each.topic, each.partition) for each in (*old, *new)}:
        before, after = (sorted(each for each in side if (each.topic, each.partition) == which) for side in (old, new))
        for side in (before, after):
            for one, other in itertools.pairwise(side):
                assert one.end == other.begin, f"{one.path} does not end where {other.path} begins"
        assert before
        assert after
        assert (before[0].begin, before[-1].end) == (after[0].begin, after[-1].end)
        counts = [sum(each.records for each in side) for side in (before, after)]
        assert counts[0] == counts[1] or (fewer and counts[0] > counts[1])
