"""State on disk is taken as it is: what came to the changelog since is not read."""

from __future__ import annotations

from eventlog.runtime.kafka_task import KafkaTask
from tests.faults.plants._edit import edit


def plant() -> None:
    opened = "            begin, position = self._store.open(first, end)\n"
    edit(KafkaTask, "_recover", (opened, f"{opened}            begin = end if position else begin\n"))
