"""What the store gives is taken for what was committed."""

from __future__ import annotations

from eventlog.archive import past
from tests.archive.faults.plants._edit import edit


def plant() -> None:
    edit(past, "fetch", ("rows.digest_of(data) != segment.digest", "False"))
