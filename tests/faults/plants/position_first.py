"""A table's position is committed before its rows."""

from __future__ import annotations

from typing import Any

from projections.stores.postgres._sink import PostgresSink


def plant() -> None:
    sink: Any = PostgresSink

    def _apply(self: Any, connection: Any, changes: Any, next_offset: int) -> None:
        with connection.transaction():
            self._advance(connection, next_offset)
        with connection.transaction():
            self._batch.write(changes)

    sink._apply = _apply
