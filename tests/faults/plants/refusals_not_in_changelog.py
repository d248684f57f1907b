"""The changelog has what was accepted, and nothing of what was refused: it changes no state."""

from __future__ import annotations

from eventlog.steps.streams import Streams
from tests.faults.plants._edit import edit


def plant() -> None:
    each = "for command_id, outcome in draft.fresh.items()"
    edit(Streams, "row", (each, f"{each} if outcome[2] is None"))
