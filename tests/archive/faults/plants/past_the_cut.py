"""Compaction of state goes beyond the newest cut."""

from __future__ import annotations

from eventlog.upkeep import tiers
from tests.archive.faults.plants._edit import edit


def plant() -> None:
    edit(tiers, "compactions", ("cut_end is not None and segment.end <= cut_end", "True"))
