"""Points of a process at which it kills itself: named before and after what is done there."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import Counter
from typing import Any

passed: Counter[str] = Counter()
_lock = threading.Lock()


def at(point: str) -> None:
    """`sys.argv[-2:]` are the point and the how manieth time."""
    with _lock:
        passed[point] += 1
        if point == sys.argv[-2] and passed[point] == int(sys.argv[-1]):
            os.kill(os.getpid(), signal.SIGKILL)


def around(owner: Any, method: str, before: str, after: str) -> None:
    """Have a method or function be between two points."""
    inner = getattr(owner, method)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        at(before)
        answer = inner(*arguments, **named)
        at(after)
        return answer

    setattr(owner, method, wrapped)
