"""A checkpoint says that it has one fact more of each partition than it has."""

from __future__ import annotations

from eventlog.archive.indexes import Index
from projections.checkpoints import Checkpointer
from tests.archive.faults.plants._edit import edit


def plant() -> None:
    edit(
        Checkpointer,
        "_interval",
        (
            "following = {place_name(*place): offset for place, offset in target.items()}",
            "following = {place_name(*place): offset + 1 for place, offset in target.items()}",
        ),
        Index=Index,
    )
