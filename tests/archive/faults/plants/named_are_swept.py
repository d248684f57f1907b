"""A sweep looks at the table first, and then at the files."""

from __future__ import annotations

from eventlog.upkeep import compact
from tests.archive.faults.plants._edit import edit, line
from tests.archive.faults.plants.orphans_at_once import AGED


def plant() -> None:
    listed = line('there = [found for tier in TIERS for found in objects.ages(f"{ROOT}/{table.topic}/{tier}/")]')
    named = line("named = {segment.key for segment in table.segments()}")
    edit(compact, "sweep", (listed, ""), (named, named + listed), (AGED, "age_s >= 0"))
