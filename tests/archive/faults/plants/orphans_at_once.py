"""A sweep removes files that are about to be committed."""

from __future__ import annotations

from eventlog.upkeep import compact
from tests.archive.faults.plants._edit import edit


def plant() -> None:
    edit(compact, "sweep", ("age_s >= orphan_age_s", "age_s >= 0"))
