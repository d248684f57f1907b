"""Rows of the changelog are kept back until there are 200 of them, so that there are fewer writes."""

from __future__ import annotations

from eventlog.runtime.kafka_task import KafkaTask
from tests.faults.plants._edit import edit

POSITION = "    changelog.append((POSITION_KEY"
PUT_OFF = """\
    self._waiting = [*getattr(self, "_waiting", ()), *changelog]
    changelog = []
    if len(self._waiting) >= 200:
        changelog, self._waiting = self._waiting, []
"""


def plant() -> None:
    edit(KafkaTask, "_commit", (POSITION, PUT_OFF + POSITION))
