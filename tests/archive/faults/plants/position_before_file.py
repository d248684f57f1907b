"""The position is committed before the file is written."""

from __future__ import annotations

from eventlog.archive.sink import PartitionSink
from tests.archive.faults.plants._edit import edit, line


def plant() -> None:
    put, commit = line("self._objects.put(segment.key, data)"), line("self._commit(segment)")
    edit(PartitionSink, "flush", (put + commit, commit + put))
