"""Python's collector of reference cycles, set for programs that make millions of small objects and hardly a cycle.

By default it looks through the youngest objects after every 700 that are made; with records, headers and
rows in hand by the thousand that was 30 % of a decider's time, and it found nothing.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG_MAX = 200_000
"""Objects between two looks: above what one batch makes, which is then freed by its reference counts."""
MIDDLE_MAX, OLD_MAX = 50, 100


def seldom() -> None:
    """Look for cycles seldom, and never among what is there already."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_MAX, MIDDLE_MAX, OLD_MAX)


@contextmanager
def seldom_meanwhile() -> Iterator[None]:
    """Look for cycles as seldom as a worker does, and as before afterwards: for a long loop in somebody's program."""
    before = gc.get_threshold()
    gc.set_threshold(YOUNG_MAX, MIDDLE_MAX, OLD_MAX)
    try:
        yield
    finally:
        gc.set_threshold(*before)
