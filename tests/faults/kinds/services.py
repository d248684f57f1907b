"""Faults of services: broker, stores, registry."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from tests.faults.case import Case
from tests.faults.kinds.places import NOT_TAKEN_S, POSTGRES_MODELS, REDIS_MODELS
from tests.faults.points import STORE_POINTS
from tests.faults.stand import WORKERS
from tests.faults.yardstick import Violation
from tests.runtime.harness import ROOT


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
        deadline = time.monotonic() + REPLAY_S
        while stand.orders.taken(order) is None and replay.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        if stand.orders.wait(order, 0.0) is None:
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


REPLAY_S = 120.0


def start_replay(case: Case, model: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "tests.faults.worker", "--onefact", "replay", model, "--json"]
    return subprocess.Popen(
        words, env=os.environ | case.stand.env, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def end_replay(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and what it said; one that does not end by itself is a violation."""
    try:
        said, _ = process.communicate(timeout=REPLAY_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise Violation("I6", f"a replay did not end within {REPLAY_S:g} s") from None
    return process.returncode, said


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
