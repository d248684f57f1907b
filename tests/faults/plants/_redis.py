"""Planting in the script that applies a batch."""

from __future__ import annotations

from projections.stores.redis import _scripts, _sink
from projections.stores.redis._connection import Script
from tests.faults.plants._edit import replaced


def change_apply(old: str, new: str) -> None:
    """Have the script say something else, wherever it is known by name."""
    _scripts.APPLY = _sink.APPLY = Script(replaced(_scripts.APPLY.text, old, new))
