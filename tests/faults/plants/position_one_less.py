"""A processor that recovers takes its position for the last record done, and does that one again."""

from __future__ import annotations

from eventlog.runtime.kafka_task import KafkaTask
from tests.faults.plants._edit import edit


def plant() -> None:
    edit(KafkaTask, "_recover", ("return position", "return max(0, position - 1)"))
