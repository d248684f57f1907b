"""Recovery takes state and version from the changelog, and leaves out which commands led there."""

from __future__ import annotations

from eventlog.steps.streams import Streams
from tests.faults.plants._edit import edit


def plant() -> None:
    edit(Streams, "_take", ("stream.outcomes[command_id] = (version, offset, code, reason)", "pass"))
