"""Moto's S3 as a program, in which a restore begins when it is asked for.

Moto itself counts a restore's time from when the object was written, and until then calls an object that was asked for
readable: a young one is readable, then being restored, then readable again, which no store with an archive class does.
"""

from __future__ import annotations

from datetime import datetime

from moto.s3.models import FakeKey
from moto.server import main

_asked = FakeKey.restore


def restore(self: FakeKey, days: int) -> None:
    """Being restored from now on; asked again, it stays for other days."""
    _asked(self, days)
    if self._status is None:
        self.status = "IN_PROGRESS"
        self._time_progressed = datetime.now()


if __name__ == "__main__":
    FakeKey.restore = restore  # type: ignore[method-assign]
    main()
