"""Faults of clients: the same commands more than once."""

from __future__ import annotations

import time

from tests.faults.case import Case
from tests.faults.stand import WORKERS


def twice(case: Case) -> None:
    """The same commands from two clients at once, and one in ten of them again later; half the time with a kill -9."""
    stand, rng = case.stand, case.rng
    load = case.commands(1000, 1500)
    other = case.another_client()
    case.start_publishing(load, 1.5)
    case.start_publishing(load, 1.5, other)
    killed = time.monotonic()
    if case.number % 2:
        time.sleep(rng.uniform(0.2, 1.5))
        stand.kill(rng.choice(WORKERS))
        killed = time.monotonic()
        case.notes["at"] = "with a kill -9"
    case.join()
    case.publish(rng.sample(load, len(load) // 10), client=rng.choice((stand.client, other)))
    case.settle(killed)
    again = rng.sample(load, len(load) // 10)
    case.publish(again)
    case.settle(time.monotonic())
