"""Cuts: ends of every partition between which no transaction lies, so that a cluster can be brought back to them.

An archive's partitions reach as far as each of them was written last. Taken together that may be in the middle of a
transaction: a decider's events without the position that goes with them. At a cut every transaction is whole or not
there at all.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

from eventlog.archive.meta import ROOT
from eventlog.archive.objects import Objects

KEPT = 3
PREFIX = f"{ROOT}/cuts/"

Ends = Mapping[tuple[str, int], int]
"""Offset after the last stable one, by topic and partition."""


@dataclass(frozen=True)
class Cut:
    """The log as it was at one moment when nothing was under way."""

    taken_ms: int
    ends: Ends


def write_cut(objects: Objects, ends: Ends, taken_ms: int | None = None) -> Cut | None:
    """Keep a cut all of whose records are archived; of those before it a few are kept.

    None where the newest one goes further: another archiver found that, and what came before it may be compacted.
    """
    newest, taken_ms = newest_cut(objects), taken_ms or int(time.time() * 1000)
    if newest is not None:
        if any(ends[place] < end for place, end in newest.ends.items() if place in ends):
            return None
        taken_ms = max(taken_ms, newest.taken_ms + 1)  # a clock may go back, the newest one has the largest name
    cut = Cut(taken_ms, dict(ends))
    told = [[topic, partition, end] for (topic, partition), end in sorted(cut.ends.items())]
    objects.put(f"{PREFIX}{cut.taken_ms:015d}.json", json.dumps({"ends": told}).encode())
    for key in sorted(key for key, _ in objects.keys(PREFIX))[:-KEPT]:
        objects.delete(key)
    return cut


def newest_cut(objects: Objects) -> Cut | None:
    """The last one that was written; None where there is none."""
    keys = sorted(key for key, _ in objects.keys(PREFIX))
    if not keys:
        return None
    found = json.loads(objects.get(keys[-1]))["ends"]
    taken = int(keys[-1].removeprefix(PREFIX).removesuffix(".json"))
    return Cut(taken, {(topic, partition): end for topic, partition, end in found})
