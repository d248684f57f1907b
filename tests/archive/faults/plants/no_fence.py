"""A commit does not look whose position it follows."""

from __future__ import annotations

from eventlog.archive.table import Table
from tests.archive.faults.plants._edit import edit


def plant() -> None:
    edit(Table, "append", ("!= expected", "is Ellipsis"))
