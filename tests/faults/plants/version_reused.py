"""The changelog has a stream's version from before the batch, beside its state from after it."""

from __future__ import annotations

from eventlog.steps.streams import Streams
from tests.faults.plants._edit import edit


def plant() -> None:
    edit(Streams, "row", ("draft.version,", "draft.base.version,"))
