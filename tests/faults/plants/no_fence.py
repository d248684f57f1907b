"""Each process has transactional ids of its own: a new owner fences nobody."""

from __future__ import annotations

import os

from eventlog.runtime.kafka_task import KafkaTask
from tests.faults.plants._edit import edit


def plant() -> None:
    ours = "{self.role}-{self.topic}-{self.partition}"
    edit(KafkaTask, "open", (ours, ours + "-{os.getpid()}"), os=os)
