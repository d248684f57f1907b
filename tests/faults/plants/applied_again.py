"""A batch whose answer did not come is applied again, from wherever the store is then."""

from __future__ import annotations

from typing import Any

from eventlog.errors import ServiceAway
from projections.stores.postgres._sink import PostgresSink
from projections.stores.redis._sink import RedisSink


def plant() -> None:
    for sink in (PostgresSink, RedisSink):
        try_again(sink)


def try_again(sink: Any) -> None:
    apply = sink.apply

    def insisting(self: Any, changes: Any, next_offset: int) -> None:
        try:
            apply(self, changes, next_offset)
        except ServiceAway:
            self.open()
            apply(self, changes, next_offset)

    sink.apply = insisting
