"""What every store agrees on about versions and progress."""

from __future__ import annotations

from eventlog.sink import Progress

FIRST_VERSION = 1
"""Of a model that was never rebuilt."""


def moved(progress: Progress) -> Progress:
    """Progress without the partitions at 0: not having begun and not being known are the same."""
    return {place: following for place, following in progress.items() if following}
