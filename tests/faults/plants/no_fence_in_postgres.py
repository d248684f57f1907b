"""A table's position is written over whatever is there."""

from __future__ import annotations

from projections.stores.postgres import _sink
from tests.faults.plants._edit import replaced


def plant() -> None:
    _sink.ADVANCE = replaced(_sink.ADVANCE, "next = %s AND fence = %s", "(true OR next = %s OR fence = %s)")
