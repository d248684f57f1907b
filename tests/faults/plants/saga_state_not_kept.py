"""What an order has come to is not written to the saga's changelog; the position is."""

from __future__ import annotations

from typing import Any

from eventlog.steps.saga import SagaStep


def plant() -> None:
    step: Any = SagaStep
    step.changelog = lambda *_: []
