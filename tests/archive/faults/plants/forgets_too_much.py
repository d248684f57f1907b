"""Kafka is asked to forget up to its own end."""

from __future__ import annotations

from eventlog.upkeep import tiers
from tests.archive.faults.plants._edit import edit


def plant() -> None:
    edit(
        tiers,
        "_forgetting",
        ("until = min(young, end, segments[-1].end)", "until = end"),
    )
    edit(tiers, "forget", ("or move.end > proof.end", "or False"))
