"""Records of aborted transactions are archived too."""

from __future__ import annotations

from eventlog.reader import LogReader
from tests.archive.faults.plants._edit import edit


def plant() -> None:
    edit(LogReader, "__init__", ('"read_committed"', '"read_uncommitted"'))
