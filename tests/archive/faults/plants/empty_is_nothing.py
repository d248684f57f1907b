"""Values that are empty are archived as none."""

from __future__ import annotations

import pyarrow as pa

from eventlog.archive import rows
from tests.archive.faults.plants._edit import edit


def plant() -> None:
    edit(
        rows,
        "to_table",
        ("[record.value for record in records]", "[record.value or None for record in records]"),
        pa=pa,
    )
