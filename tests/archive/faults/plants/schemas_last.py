"""The schemas of a file's records are archived after its commit."""

from __future__ import annotations

from eventlog.archive.sink import PartitionSink
from tests.archive.faults.plants._edit import edit, line


def plant() -> None:
    schemas, commit = line("self._before_commit(self._schemas)"), line("self._commit(segment)")
    edit(PartitionSink, "flush", (schemas, ""), (commit, commit + schemas))
