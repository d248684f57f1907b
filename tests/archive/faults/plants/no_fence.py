"""A commit does not look whose position it follows, and carries none."""

from __future__ import annotations

from eventlog.archive.table import Table
from tests.archive.faults.plants._edit import edit


def plant() -> None:
    edit(
        Table,
        "append",
        ("!= expected", "is Ellipsis"),
        ("Transaction(self._app(segment.partition)", 'Transaction(f"{self._app(segment.partition)}"'),
        ("table = self._refreshed()", "self._table = None; table = self._refreshed()"),
    )
