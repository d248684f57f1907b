"""A bootstrap takes an archive that ends within a transaction."""

from __future__ import annotations

from eventlog.bootstrap import whole
from tests.archive.faults.plants._edit import edit


def plant() -> None:
    edit(whole, "wanted_topics", ("if beyond and not at_cut:", "if False:"))
