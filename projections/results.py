"""What comes of replays and rollbacks."""

from __future__ import annotations

from dataclasses import dataclass, field

from eventlog.models import Key
from projections.compare import Difference


@dataclass(frozen=True)
class ReplayResult:
    """What came of a replay. `identical` is None where there is nothing to compare with (`until`, a rollback)."""

    model: str
    version: int
    """The rebuilt one; after a rollback the one that is live again."""
    previous: int
    """The one that was live before."""
    switched: bool
    identical: bool | None
    rows: int
    records: int
    """That this run has folded."""
    dead: int
    """Records that could not be read; their dead letters were written when they were first met."""
    seconds: float
    """For everything, comparison and switch included."""
    rate: float
    """Records per second of building."""
    digest_live: str | None
    digest_rebuilt: str
    position: str
    """Where the rebuilt version stood when it was switched, or was built to."""
    began_at: str = ""
    """Where this run found the version: not empty where it went on with one, or rolled back to one."""
    differing: int = 0
    changed: int = 0
    missing: int = 0
    """From the live version."""
    extra: int = 0
    """In the live version, though no fact made them."""
    differences: list[Key] = field(default_factory=list)
    """Keys whose rows differ, ten at most."""
    sample: list[Difference] = field(default_factory=list)
    """Their rows in both."""
