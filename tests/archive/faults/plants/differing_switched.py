"""A version that lacks its last facts is switched without a look at what differs."""

from __future__ import annotations

from projections.compare import Comparer
from projections.folding import Folding
from tests.archive.faults.plants._edit import edit


def plant() -> None:
    edit(
        Folding,
        "_fold",
        (
            "self._take(place, done.changes, end)",
            "self._take(place, done.changes if number < len(pieces) else {}, end)",
        ),
    )
    edit(
        Comparer,
        "compare",
        ("if live == folded:", "if True:"),
        ("Comparison(rows, live, folded)", "Comparison(rows, live, live)"),
    )
