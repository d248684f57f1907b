"""What is given up is still said to be where the partition begins."""

from __future__ import annotations

from eventlog.archive.table import Table
from tests.archive.faults.plants._edit import edit


def plant() -> None:
    edit(Table, "remove", ("app_transactions=after, ", ""))
