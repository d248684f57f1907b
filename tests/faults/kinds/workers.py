"""Faults of workers: killed, stopped and woken, coming and going."""

from __future__ import annotations

import signal
import time

from tests.faults.case import Case
from tests.faults.kinds.places import NOT_TAKEN_S, PLACES, PROCESSORS, SESSION_S, STOPS, STOPS_STRIDE
from tests.faults.stand import WORKERS


def place_of(number: int) -> tuple[str, str] | None:
    """Point, and role or model, of a case of `kill`; None for a random moment."""
    return PLACES[(number - number // 3 - 1) % len(PLACES)] if number % 3 else None


def stopped_at(number: int) -> tuple[str, str] | None:
    """Point, and role or model, of a case of `zombie`; None for a random moment. 40 cases come by all of them."""
    return STOPS[(number - number // 4 - 1) * STOPS_STRIDE % len(STOPS)] if number % 4 else None


def kill(case: Case) -> None:
    """Kill -9 at a named point (two of three cases, all points in turn) or at a random moment (the third).

    One in five of the killed stays away for longer than a session, so that others take over; one in five is killed
    again while it recovers.
    """
    stand, rng = case.stand, case.rng
    load = case.commands(1000, 1800)
    down_s = SESSION_S + rng.uniform(1, 3) if rng.random() < 0.2 else 0.0
    again = rng.random() < 0.2
    if down_s:
        case.notes["away"] = f"{down_s:.0f} s"
    place = place_of(case.number)
    if place is None:
        case.start_publishing(load, 1.5)
        time.sleep(rng.uniform(0.1, 2.0))
        victim = rng.choice(WORKERS)
        case.notes["at"] = f"random moment, worker {victim}"
        stand.kill(victim, down_s)
        killed = time.monotonic()
    else:
        point, role = place
        nth = rng.randint(1, 4)
        case.notes["at"] = f"{point} of {role}, passage {nth}"
        for name in WORKERS:  # whoever it will be
            stand.hold_down(name, NOT_TAKEN_S + down_s if down_s else 0.0)
        order = stand.orders.give(point, role, nth, "kill")
        case.start_publishing(load, 1.5)
        taken = stand.orders.wait(order, NOT_TAKEN_S)
        for name in WORKERS:
            stand.hold_down(name, 0.0)
        if taken is None:  # fewer batches than that
            case.notes["at"] += ": not passed, killed at a random moment"
            stand.kill(rng.choice(WORKERS), down_s)
        else:
            stand.hold_down(stand.name_of(taken.pid), down_s)
        killed = time.monotonic()
    if again:
        case.notes["again"] = True
        order = stand.orders.give("after_fence", rng.choice(PROCESSORS), rng.randint(1, 2), "kill")
        case.publish(case.commands(100, 300))
        if stand.orders.wait(order, NOT_TAKEN_S) is None:
            stand.kill(rng.choice(WORKERS))
        killed = time.monotonic()
    case.settle(killed)


def zombie(case: Case) -> None:
    """A worker stops, at a named point or anywhere, past its session and its transaction; others go on; it wakes."""
    stand, rng = case.stand, case.rng
    load = case.commands(1000, 2000)
    victim = None
    if place := stopped_at(case.number):
        point, role = place
        case.notes["at"] = f"{point} of {role}"
        order = stand.orders.give(point, role, rng.randint(4, 8), "stop")  # the first few have little in hand
        case.start_publishing(load, 3.0)
        taken = stand.orders.wait(order, NOT_TAKEN_S)
        victim = stand.name_of(taken.pid) if taken else None
    else:
        case.start_publishing(load, 3.0)
        time.sleep(rng.uniform(0.1, 3.0))
    if victim is None:
        victim = rng.choice(WORKERS)
        case.notes["at"] = f"random moment, worker {victim}"
        stand.workers.signal(victim, signal.SIGSTOP)
    stopped = time.monotonic()
    try:
        case.publish(case.commands(200, 500))
        time.sleep(max(0.0, stopped + SESSION_S + rng.uniform(1, 4) - time.monotonic()))
        case.settle(stopped)  # the others took over, while it sleeps
        more = case.commands(1000, 1500)
        case.start_publishing(more, 3.0)
        time.sleep(rng.uniform(0.3, 2.0))  # it wakes while the others write
    finally:
        stand.workers.signal(victim, signal.SIGCONT)
    woken = time.monotonic()
    case.settle(woken)


STORM_S, STORM_EVERY_S = 120.0, 2.0


def storm(case: Case, storm_s: float = STORM_S) -> None:
    """Every 2 s a worker joins, or leaves in order or by kill -9, for 2 minutes; one of the first stays throughout."""
    stand, rng = case.stand, case.rng
    load = case.commands(2500, 3000)
    case.start_publishing(load, storm_s)
    guests: list[str] = []
    number = 0
    until = time.monotonic() + storm_s
    while time.monotonic() < until:
        if len(guests) < 2 or (len(guests) < 4 and rng.random() < 0.5):
            number += 1
            guests.append(name := f"guest{case.number}-{number}")
            stand.join(name)
        else:
            name = guests.pop(rng.randrange(len(guests)))
            stand.leave(name, rng.choice((signal.SIGTERM, signal.SIGKILL)))
        time.sleep(STORM_EVERY_S)
    for name in guests:
        stand.leave(name, signal.SIGTERM)
    case.notes["joined"] = number
    case.settle(time.monotonic())
