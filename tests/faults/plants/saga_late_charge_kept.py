"""A charge whose outcome is not known yet is taken for none: nobody gives it back when it was made after all."""

from __future__ import annotations

from processors.fulfilment import saga, undoing
from processors.fulfilment.instance import ASKED, NONE
from tests.faults.plants._edit import edit


def plant() -> None:
    edit(undoing, "compensate", ("state.charge != NONE", "state.charge not in (NONE, ASKED)"), NONE=NONE, ASKED=ASKED)
    saga.compensate = undoing.compensate
    saga.late_charge = lambda *_: undoing.NOTHING
