"""Workers are handed what transactions have written before it is known whether they commit."""

from __future__ import annotations

from typing import Any

from eventlog.runtime.app import ConsumerThread


def plant() -> None:
    thread: Any = ConsumerThread
    create = thread._create_worker_consumer

    def _create_worker_consumer(self: Any, transport: Any) -> Any:
        consumer = create(self, transport)
        consumer._isolation_level = "read_uncommitted"
        return consumer

    thread._create_worker_consumer = _create_worker_consumer
