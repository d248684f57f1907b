"""The position after a file is one past the next record."""

from __future__ import annotations

from eventlog.archive.sink import PartitionSink
from tests.archive.faults.plants._edit import edit


def plant() -> None:
    edit(PartitionSink, "add", ("self._end = records[-1].offset + 1", "self._end = records[-1].offset + 2"))
