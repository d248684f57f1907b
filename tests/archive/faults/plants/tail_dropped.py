"""A compacted file lacks its last source, and is not held against it."""

from __future__ import annotations

from eventlog.upkeep import compact
from tests.archive.faults.plants._edit import edit, line


def plant() -> None:
    edit(
        compact,
        "compact",
        ("_write(objects, sources, path, kept)", "_write(objects, sources[:-1], path, kept)"),
        (line("require_same(objects, sources, made, back, kept)", 2), ""),
    )
