"""Of headers with one name the last is archived."""

from __future__ import annotations

import pyarrow as pa

from eventlog.archive import rows
from tests.archive.faults.plants._edit import edit


def plant() -> None:
    edit(
        rows,
        "to_table",
        ("[record.headers for record in records]", "[list(dict(record.headers).items()) for record in records]"),
        pa=pa,
    )
