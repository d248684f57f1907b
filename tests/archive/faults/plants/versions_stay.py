"""A replay leaves every version where it is."""

from __future__ import annotations

from projections.versions import Versions
from tests.archive.faults.plants._edit import edit


def plant() -> None:
    edit(Versions, "drop_others", ("if version not in kept:", "if version not in kept and version < 0:"))
