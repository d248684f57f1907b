"""A compacted file takes its sources' place without being read back."""

from __future__ import annotations

from eventlog.upkeep import compact
from tests.archive.faults.plants._edit import edit, line


def plant() -> None:
    edit(
        compact,
        "compact",
        (line("objects.get_file(made.key, back)", 2), ""),
        (line("require_same(objects, sources, made, back, kept)", 2), ""),
    )
