"""A sweep removes files that are about to be committed."""

from __future__ import annotations

from eventlog.upkeep import compact
from tests.archive.faults.plants._edit import edit

AGED = "(age_s >= orphan_age_s and objects.age_s(key) >= orphan_age_s)"


def plant() -> None:
    edit(compact, "sweep", (AGED, "age_s >= 0"))
