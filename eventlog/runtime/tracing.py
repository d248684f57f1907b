"""A partition task that is traced: a span for each sampled record, from its batch in hand to its commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from eventlog.envelope import RawRecord, Record
from eventlog.roles import Decider, Effect, Enricher, Projection, Role
from eventlog.runtime.task import Pace, PartitionTask
from eventlog.sagas import Relay, Saga
from eventlog.tracing import TRACEPARENT, Tracing, sampled_parent

if TYPE_CHECKING:
    from opentelemetry.trace import Span


class TracedTask:
    """A `PartitionTask` around another, which sees sampled records under the span that works on them.

    What the task makes takes over `traceparent` from its record, and so names the span that made it. A batch that
    failed ends its spans as failed; done again it has new ones, and those are what its facts name.
    """

    def __init__(self, task: PartitionTask, role: Role, tracing: Tracing) -> None:
        self._task = task
        self._tracing = tracing
        self.role = task.role
        self.topic = task.topic
        self.partition = task.partition
        self.batch_records_max = task.batch_records_max
        self.pace: Pace = getattr(task, "pace", None) or Pace()
        self._name = f"{_verb(role)} {task.topic}" if not isinstance(role, Projection) else f"apply {role.name}"
        self._place: dict[str, str | int] = {
            "messaging.system": "kafka",
            "messaging.operation.name": _verb(role),
            "messaging.operation.type": "process",
            "messaging.destination.name": task.topic,
            "messaging.destination.partition.id": str(task.partition),
            "messaging.consumer.group.name": task.role,
        }

    async def open(self) -> int:
        return await self._task.open()

    async def process(self, records: Sequence[RawRecord]) -> Mapping[str, int]:
        spans: list[Span] = []
        followed = [self._followed(record, len(records), spans) for record in records]
        try:
            counts = await self._task.process(followed)
        except BaseException as error:
            for span in spans:
                self._tracing.failed(span, error)
            raise
        for span in spans:
            span.end()
        return counts

    async def close(self) -> None:
        await self._task.close()

    def _followed(self, record: RawRecord, batch: int, spans: list[Span]) -> RawRecord:
        parent = sampled_parent(record)
        if parent is None:
            return record
        span = self._tracing.consume(self._name, parent, self._place | _of(record, batch))
        if not span.is_recording():
            return record
        spans.append(span)
        traceparent = self._tracing.header(span)
        headers: list[Any] = [h for h in record.headers if h[0] != TRACEPARENT]
        headers.append((TRACEPARENT, traceparent))
        return Record(
            record.topic, record.partition, record.offset, record.timestamp, record.key, record.value, headers
        )


def _verb(role: Role) -> str:
    match role:
        case Decider():
            return "decide"
        case Enricher():
            return "enrich"
        case Effect():
            return "ask"
        case Projection():
            return "apply"
        case Saga():
            return "react"
        case Relay():
            return "relay"


def _of(record: RawRecord, batch: int) -> dict[str, str | int]:
    headers = dict(record.headers)
    return {
        "messaging.message.id": _text(headers.get("ce_id")),
        "messaging.kafka.message.key": _text(record.key),
        "messaging.kafka.offset": record.offset,
        "messaging.batch.message_count": batch,
        "cloudevents.event_type": _text(headers.get("ce_type")),
    }


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode(errors="replace")
