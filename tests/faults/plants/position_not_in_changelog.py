"""The changelog has the position only where a batch changed nothing else."""

from __future__ import annotations

from eventlog.runtime.kafka_task import KafkaTask
from tests.faults.plants._edit import edit


def plant() -> None:
    position = '(POSITION_KEY, b"%d" % next_offset, [])'
    edit(KafkaTask, "_commit", (f"changelog.append({position})", f"changelog = changelog or [{position}]"))
