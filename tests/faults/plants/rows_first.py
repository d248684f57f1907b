"""Rows are written to Redis in one call and their position in the next."""

from __future__ import annotations

from projections.stores.redis._sink import RedisSink
from tests.faults.plants._edit import edit

CALL = "APPLY(self._client, keys, [self._place, *positions, batch.packed()])"


def plant() -> None:
    rows = "APPLY(self._client, keys, [self._place, positions[0], positions[0], batch.packed()])"
    position = CALL.replace("batch.", "Written().")
    edit(RedisSink, "apply", (f"        if {CALL}", f"        {rows}\n        if {position}"))
