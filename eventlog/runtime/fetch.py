"""What one fetch brought, as the records that steps read."""

from __future__ import annotations

from typing import Any

from aiokafka.consumer import fetcher

from eventlog.envelope import Record
from eventlog.runtime.records import Batches


class PartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]  # it has no types
    """The client's own parser, but for the record it makes: its frozen dataclass costs more than all parsing."""

    def _consumer_record(self, tp: Any, record: Any) -> Record:
        return Record(
            tp.topic, tp.partition, record.offset, record.timestamp, record.key, record.value, record.headers,
            record.timestamp_type,
        )  # fmt: skip


def install() -> None:
    """Have fetchers use both: they make their parsers by their names in their module, and there is no other way in."""
    fetcher.PartitionRecords = PartitionRecords
    fetcher.MemoryRecords = Batches
