"""What is not answered yet is not released: a line that is reserved after the order was given up stays reserved."""

from __future__ import annotations

from processors.fulfilment import saga, undoing
from tests.faults.plants._edit import edit


def plant() -> None:
    edit(undoing, "compensate", ("(*state.reserved, *state.open)", "state.reserved"))
    saga.compensate = undoing.compensate
    saga.late_reservation = lambda *_: undoing.NOTHING
