"""A reader passes over what is frozen."""

from __future__ import annotations

import pyarrow as pa

from eventlog.archive.past import Past
from tests.archive.faults.plants._edit import edit, line


def plant() -> None:
    restore = line("self._restore([segment, *segments])", 3) + line("segments.appendleft(segment)", 3)
    edit(Past, "pieces", (restore, line("at = segment.end", 3)), pa=pa)
