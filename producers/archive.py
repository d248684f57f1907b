"""What is published to the archive's topic of moves: by whoever moves, which is `onefact archive`."""

from __future__ import annotations

from eventlog.roles import Source
from schemas.archive import ARCHIVE

SOURCE = Source(domain=ARCHIVE)
