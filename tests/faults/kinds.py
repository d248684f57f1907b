"""The faults: what is done to workers and services while commands come in."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from tests.faults.case import Case, Kind
from tests.faults.points import KAFKA_POINTS, STORE_POINTS
from tests.faults.stand import WORKERS
from tests.faults.yardstick import Violation
from tests.runtime.harness import ROOT

PROCESSORS = ("trading.decider", "trading.enricher")
POSTGRES_MODELS = ("positions", "ledger", "risk_alerts")
REDIS_MODELS = ("portfolio", "leaderboard", "prices")
MODELS = POSTGRES_MODELS + REDIS_MODELS
PLACES = [(point, role) for role in PROCESSORS for point in KAFKA_POINTS if point != "after_fence"]
PLACES += [(point, model) for model in MODELS for point in STORE_POINTS]
SESSION_S = 10
"""Of a member of a group, and of a transaction."""
NOT_TAKEN_S = 10.0


def kill(case: Case) -> None:
    """Kill -9 at a named point (two of three cases, all points in turn) or at a random moment (the third).

    One in five of the killed stays away for longer than a session, so that others take over; one in five is killed
    again while it recovers.
    """
    stand, rng = case.stand, case.rng
    load = case.commands(1000, 1800)
    down_s = SESSION_S + rng.uniform(1, 3) if rng.random() < 0.2 else 0.0
    again = rng.random() < 0.2
    if case.number % 3 == 0:
        case.start_publishing(load, 1.5)
        time.sleep(rng.uniform(0.1, 2.0))
        victim = rng.choice(WORKERS)
        case.notes["at"] = f"random moment, worker {victim}"
        stand.kill(victim, down_s)
        killed = time.monotonic()
    else:
        point, role = PLACES[(case.number - case.number // 3 - 1) % len(PLACES)]
        nth = rng.randint(1, 4)
        case.notes["at"] = f"{point} of {role}, passage {nth}"
        order = stand.orders.give(point, role, nth, "kill")
        case.start_publishing(load, 1.5)
        taken = stand.orders.wait(order, NOT_TAKEN_S)
        if taken is None:  # fewer batches than that
            case.notes["at"] += ": not passed, killed at a random moment"
            stand.kill(victim := rng.choice(WORKERS), down_s)
        else:
            stand.hold_down(victim := stand.name_of(taken.pid), down_s)
        killed = time.monotonic()
    if again:
        case.notes["again"] = True
        order = stand.orders.give("after_fence", rng.choice(PROCESSORS), rng.randint(1, 2), "kill")
        case.publish(case.commands(100, 300))
        if stand.orders.wait(order, NOT_TAKEN_S) is None:
            stand.kill(rng.choice(WORKERS))
        killed = time.monotonic()
    case.settle(killed)


def broker(case: Case) -> None:
    """The broker is killed and comes back (two of three cases), or stands still for 20 s."""
    load = case.commands(1500, 3000)
    case.start_publishing(load, 3.0)
    time.sleep(case.rng.uniform(0.2, 2.5))
    if case.number % 3:
        case.notes["at"] = "kill -9"
        case.stand.backing.restart("kafka", kill=True)
    else:
        case.notes["at"] = "pause of 20 s"
        case.stand.backing.pause("kafka")
        time.sleep(20)
        case.stand.backing.unpause("kafka")
    back = time.monotonic()
    case.publish(case.commands(200, 400))
    case.settle(back)


def zombie(case: Case) -> None:
    """A worker stops, at a named point or anywhere, past its session and its transaction; others go on; it wakes."""
    stand, rng = case.stand, case.rng
    load = case.commands(1000, 2000)
    victim = None
    if case.number % 4:
        point, role = PLACES[rng.randrange(len(PLACES))]
        case.notes["at"] = f"{point} of {role}"
        order = stand.orders.give(point, role, rng.randint(1, 3), "stop")
        case.start_publishing(load, 1.5)
        taken = stand.orders.wait(order, NOT_TAKEN_S)
        victim = stand.name_of(taken.pid) if taken else None
    else:
        case.start_publishing(load, 1.5)
        time.sleep(rng.uniform(0.1, 1.5))
    if victim is None:
        victim = rng.choice(WORKERS)
        case.notes["at"] = f"random moment, worker {victim}"
        stand.workers.signal(victim, signal.SIGSTOP)
    stopped = time.monotonic()
    try:
        case.publish(case.commands(200, 500))
        time.sleep(max(0.0, stopped + SESSION_S + rng.uniform(1, 4) - time.monotonic()))
        case.settle(stopped)  # the others took over, while it sleeps
        more = case.commands(500, 1000)
        case.start_publishing(more, 1.0)
        time.sleep(rng.uniform(0.0, 0.8))
    finally:
        stand.workers.signal(victim, signal.SIGCONT)
    woken = time.monotonic()
    case.settle(woken)


def stores(case: Case) -> None:
    """Postgres or Redis is killed while a batch is in hand or a rebuild runs, or Redis loses everything."""
    what = ("postgres batch", "redis batch", "postgres rebuild", "redis rebuild", "redis emptied")[case.number % 5]
    case.notes["at"] = what
    service, _, when = what.partition(" ")
    if when == "rebuild":
        _during_rebuild(case, service)
    else:
        _during_batch(case, service, emptied=when == "emptied")


def _during_batch(case: Case, service: str, *, emptied: bool) -> None:
    """A thread is held at a point of its batch while the store goes."""
    stand, rng = case.stand, case.rng
    load = case.commands(1200, 2000)
    point, model = rng.choice(STORE_POINTS), rng.choice(POSTGRES_MODELS if service == "postgres" else REDIS_MODELS)
    case.notes["at"] += f", {point} of {model}"
    order = stand.orders.give(point, model, rng.randint(1, 3), "hold")
    case.start_publishing(load, 1.5)
    held = stand.orders.wait(order, NOT_TAKEN_S)
    if held is None:
        case.notes["at"] += ": not passed"
    if emptied:
        stand.models.empty_redis()
    else:
        stand.backing.restart(service, kill=True)
    back = time.monotonic()
    stand.orders.release(order)
    # An emptied store is noticed with the next fact of a partition: every partition, and every symbol, gets some.
    case.publish(case.commands(800, 1000))
    case.settle(back)
    if emptied:
        case.check_whole()


def _during_rebuild(case: Case, service: str) -> None:
    """A replay is held within its first batches while the store goes; it ends well or says why, and then again."""
    stand, rng = case.stand, case.rng
    load = case.commands(1000, 1500)
    case.publish(load)
    case.settle(time.monotonic())
    model = rng.choice(POSTGRES_MODELS if service == "postgres" else REDIS_MODELS)
    point = rng.choice(STORE_POINTS)
    case.notes["at"] += f", {point} of {model}"
    order = stand.orders.give(point, model, rng.randint(1, 3), "hold")
    replay = start_replay(case, model)
    more = case.commands(300, 600)
    try:
        if stand.orders.wait(order, 20.0) is None:
            case.notes["at"] += ": not passed"
        stand.backing.restart(service, kill=True)
    finally:
        stand.orders.release(order)
    back = time.monotonic()
    case.start_publishing(more, 1.0)
    said = end_replay(replay)
    case.notes["replay"] = said[0]
    case.settle(back)
    code, words = end_replay(start_replay(case, model))
    if code != 0 or '"identical": true' not in words:
        raise Violation("I3", f"a replay of {model} after all was well: exit code {code}: {words[-600:]}")
    case.settle(time.monotonic())
    case.check_whole()


def start_replay(case: Case, model: str) -> subprocess.Popen[str]:
    import os

    words = [sys.executable, "-m", "tests.faults.worker", "--onefact", "replay", model, "--json"]
    return subprocess.Popen(
        words, env=os.environ | case.stand.env, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def end_replay(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and what it said; one that does not end by itself is a violation."""
    try:
        said, _ = process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise Violation("I6", "a replay did not end within 120 s") from None
    return process.returncode, said


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


REGISTRY_AWAY_S = 60.0


def registry(case: Case) -> None:
    """The registry is away for 60 s; workers that run go on, and one that is killed comes back with the registry."""
    stand, rng = case.stand, case.rng
    case.publish(case.commands(200, 400))
    case.settle(time.monotonic())
    paused = case.number % 2 == 0
    case.notes["at"] = "registry frozen" if paused else "registry gone"
    load = case.commands(1000, 2000)
    if paused:
        stand.backing.pause("registry")
    else:
        stand.backing.take_away("registry")
    gone = time.monotonic()
    try:
        case.start_publishing(load, 30.0)
        time.sleep(rng.uniform(1, 10))
        stand.kill(rng.choice(WORKERS))
        time.sleep(max(0.0, gone + REGISTRY_AWAY_S - time.monotonic()))
    finally:
        if paused:
            stand.backing.unpause("registry")
        else:
            stand.backing.bring_back("registry")
    back = time.monotonic()
    case.settle(back)
    stand.wait_ready()


@dataclass(frozen=True)
class Planned:
    """A kind as the campaign runs it."""

    run: Kind
    cases: int
    chunk: int
    """Cases that one set of services serves."""
    what: str


KINDS: Mapping[str, Planned] = {
    "kill": Planned(kill, 300, 50, "kill -9 of a worker at named points and at random moments"),
    "broker": Planned(broker, 40, 10, "kill -9 and restart of the broker; pause of the broker 20 s"),
    "zombie": Planned(zombie, 40, 10, "a worker stopped past its session and its transaction, then woken"),
    "stores": Planned(stores, 60, 20, "Postgres, Redis restarted mid-batch and mid-rebuild; Redis emptied"),
    "storm": Planned(storm, 10, 5, "workers join and leave every 2 s for 2 minutes"),
    "twice": Planned(twice, 20, 20, "the same commands twice, by two clients at once, and 10 % again later"),
    "registry": Planned(registry, 20, 5, "the registry away for 60 s"),
}
