"""A table's rows are committed before their position."""

from __future__ import annotations

from projections.stores.postgres._sink import PostgresSink
from tests.faults.plants._edit import edit

ADVANCE = "                self._advance(connection, next_offset)\n"
WRITE = "                if self._batch is not None:\n                    self._batch.write(changes)\n"
SECOND = "            with connection.transaction():\n"


def plant() -> None:
    edit(PostgresSink, "_apply", (ADVANCE + WRITE, WRITE + SECOND + ADVANCE))
