"""What was fetched before a seek is handed on after it."""

from __future__ import annotations

from eventlog.runtime.app import Consumer
from tests.faults.plants._edit import edit


def plant() -> None:
    edit(Consumer, "is_current", ("return tp in self._open and self._epochs.get(tp) == batch.epoch", "return True"))
