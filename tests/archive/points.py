"""Points of a process at which it kills itself: named before and after what is done there."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from typing import Any

passed: Counter[str] = Counter()
_armed: list[tuple[str, int]] = []
_lock = threading.Lock()


def arm(point: str, number: int) -> None:
    """Have the process killed when it passes the point for the nth time."""
    _armed.append((point, number))


def at(point: str) -> None:
    """Pass a point."""
    with _lock:
        passed[point] += 1
        if (point, passed[point]) in _armed:
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
