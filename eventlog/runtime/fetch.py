"""What one fetch brought, as the records that steps read."""

from __future__ import annotations

from typing import Any

from aiokafka.consumer import consumer, fetcher
from aiokafka.errors import NoOffsetForPartitionError

from eventlog.envelope import Record
from eventlog.runtime.records import Batches


class PartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]  # it has no types
    """The client's own parser, but for the record it makes: its frozen dataclass costs more than all parsing."""

    def _consumer_record(self, tp: Any, record: Any) -> Record:
        return Record(
            tp.topic, tp.partition, record.offset, record.timestamp, record.key, record.value, record.headers,
            record.timestamp_type,
        )  # fmt: skip


class Fetcher(fetcher.Fetcher):  # type: ignore[misc]  # it has no types
    """The client's own, that is told to reset nothing: what the log has no longer is an error, and not jumped over.

    A partition that is only just assigned, of a group without positions, is none: nobody takes its records before it
    was sought to where its task wants to go on, so it may be anywhere until then.
    """

    def _set_error(self, tp: Any, error: Exception) -> None:
        if isinstance(error, NoOffsetForPartitionError):
            subscription = self._subscriptions.subscription
            subscription.assignment.state_value(tp).await_reset(fetcher.OffsetResetStrategy.EARLIEST)
        else:
            super()._set_error(tp, error)


def install() -> None:
    """Have consumers use all three: they know them by their names in a module, and there is no other way in."""
    consumer.Fetcher = Fetcher
    fetcher.PartitionRecords = PartitionRecords
    fetcher.MemoryRecords = Batches
