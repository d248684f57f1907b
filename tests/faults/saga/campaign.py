"""Orders over real services while workers are killed: every order ends, no piece and no penny is lost.

    make faults KIND=saga                  200 orders and 50 kills: once with a calm provider, once with a rough one
    make faults KIND=saga CASES=4 SEED=7   so many, from this seed
    make faults KIND=saga CASE=1 SEED=7    one of them again; odd ones have the rough provider
    ORDERS=50 KILLS=12 make faults ...     smaller ones

A rough provider fails 30 % of its calls, drops 10 % of its answers after it has charged, and is away for 20 s.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from eventlog.codec import Codec
from eventlog.discovery import catalog
from eventlog.message import Command
from eventlog.provision import provision
from eventlog.settings import Settings
from eventlog.topics import Topic
from schemas.inventory import INVENTORY
from schemas.orders import ORDERS
from tests.backing import Backing, start_backing
from tests.effects.provider import Provider
from tests.faults.points import KAFKA_POINTS
from tests.faults.results import note, rows_of
from tests.faults.saga.judge import Judge
from tests.faults.saga.market import Market, make
from tests.faults.stand import Orders
from tests.runtime.harness import Workers, codec_of, publish

WORKERS = ("a", "b")
AT_POINTS = (
    "fulfilment.saga", "fulfilment.relay", "orders.decider", "inventory.decider", "payments.decider", "payments.effect",
)  # fmt: skip
ROLES = (*AT_POINTS, "fulfilment.sagas")
DEADLINES = "fulfilment.reservation=12,fulfilment.payment=15,fulfilment.retry=5"
"""Shorter than a worker is missed, so that some pass."""
POINT_S = 4.0
"""For somebody to come to a point; then a worker is killed where it is."""
READY_S = 30.0
"""For workers that were killed to be at work again before the next kill, which comes all the same after that."""
KILL_S = 8.0
"""From one kill to the next, about: orders are published all the while."""
ENDED_S = 240.0
"""For all orders, once nobody is killed any more and the provider is back."""
AWAY_S = 20.0
KEPT = "saga.jsonl"


@dataclass
class Run:
    """One campaign on services that are there."""

    backing: Backing
    folder: Path
    draw: random.Random
    orders: int
    kills: int
    rough: bool
    away_s: float = AWAY_S
    """Of a rough provider."""
    deadlines: str = DEADLINES
    plant: str = ""
    """A bug of `tests.faults.plants` in the workers."""
    notes: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.mark = f"m{self.draw.randrange(1 << 40):x}"
        self.market = make(self.draw, self.mark, self.orders)
        self.settings = Settings(**self.backing.settings())
        faults = {"fail": 0.3, "drop": 0.1, "delay_s": 0.5} if self.rough else {"delay_s": 0.1}
        seed = self.draw.randrange(1 << 30)
        self.provider = Provider(self.folder, seed=seed, settings=faults | {"decline": 0.1})
        self.points = Orders(self.folder / "points")

    def go(self) -> list[str]:
        """What is wrong in the end; nothing where every invariant holds."""
        provision(self.settings, catalog())
        with codec_of(self.settings, catalog()) as codec:
            self.provider.start()
            workers = Workers(self._env(), self.folder, module="tests.faults.worker")
            try:
                for name in WORKERS:
                    workers.start(name, *ROLES)
                workers.wait_ready(timeout_s=120)
                started = time.monotonic()
                self._trade(codec, workers)
                judge = Judge(self.settings, codec, self.market, self.mark)
                traded = time.monotonic()
                self._wait_ended(judge)
                self.notes["seconds of kills"] = round(traded - started)
                self.notes["seconds until all had ended"] = round(time.monotonic() - traded)
                self.notes.update(judge.ended())
                return judge.wrong(self.provider.books())
            finally:
                workers.stop()
                self.provider.stop()

    def _env(self) -> dict[str, str]:
        told = {"URL": self.provider.url, "PAUSE_S": "1", "DEADLINE_S": "2", "RATE": "1000"}
        env = self.backing.env | {f"ONEFACT_PAYMENTS_{name}": value for name, value in told.items()}
        own = {"ONEFACT_TEST_POINTS": str(self.points.folder), "ONEFACT_HOME": str(self.folder / "home")}
        return env | own | {"ONEFACT_DEADLINES": self.deadlines, "ONEFACT_TEST_PLANT": self.plant}

    def _trade(self, codec: Codec, workers: Workers) -> None:
        """Publish and kill side by side."""
        publish(self.settings, codec, INVENTORY.topic("commands"), self.market.received(self.mark))
        killing = threading.Event()
        publishing = threading.Thread(target=self._publish, args=(codec, self.market, killing))
        killing.set()
        publishing.start()
        for number in range(self.kills):
            if self.rough and number == self.kills // 3:
                self.provider.misbehave(away_s=self.away_s)
            deadline = time.monotonic() + READY_S
            while time.monotonic() < deadline and not all(workers.is_ready(name) for name in WORKERS):
                time.sleep(0.2)
            time.sleep(self.draw.uniform(0.0, 2.0))
            self._kill(workers)
        killing.clear()
        publishing.join()

    def _publish(self, codec: Codec, market: Market, killing: threading.Event) -> None:
        """A few orders at a time while there are kills, and what is left of them when there are none any more."""
        draw = random.Random(self.mark)
        waiting = [order for order in market.orders.values() for _ in range(2 if order.twice else 1)]
        cancels: list[Command] = []
        topic: Topic = ORDERS.topic("commands")
        pause = 2 * self.kills * KILL_S / max(1, self.orders / 5)
        while waiting or cancels:
            some, waiting = waiting[:5], waiting[5:]
            commands: list[tuple[str, Command]] = [(f"{order.id}:place", order.place) for order in some]
            commands += [(f"{command.stream}:cancel", command) for command in cancels]
            publish(self.settings, codec, topic, commands)
            cancels = [order.cancel for order in some if order.cancel is not None]
            if killing.is_set():
                time.sleep(draw.uniform(0, pause))

    def _kill(self, workers: Workers) -> None:
        """Kill -9 of one worker, at a point or wherever it is; it is started again at once."""
        name = None
        if self.draw.random() < 0.5:
            role, point = self.draw.choice(AT_POINTS), self.draw.choice(KAFKA_POINTS)
            order = self.points.give(point, role, self.draw.randint(1, 3), "kill")
            taken = self.points.wait(order, POINT_S)
            if taken is not None:
                name = next(n for n, process in workers.processes.items() if process.pid == taken.pid)
                workers.processes[name].wait()
                self.notes["at points"] += 1
        if name is None:
            name = self.draw.choice(WORKERS)
            workers.kill(name)
            self.notes["anywhere"] += 1
        workers.start(name)

    def _wait_ended(self, judge: Judge) -> None:
        deadline = time.monotonic() + ENDED_S
        while time.monotonic() < deadline:
            ended = judge.ended()
            if ended["open"] == 0 and sum(ended.values()) == len(self.market.orders):
                break
            time.sleep(0.5)
        while judge.behind() and time.monotonic() < deadline:
            time.sleep(0.2)


def main(folder: Path, seed: int, cases: Iterable[int]) -> int:
    """Run campaigns; exit code 1 when an invariant was violated."""
    code = 0
    orders, kills = int(os.environ.get("ORDERS", "200")), int(os.environ.get("KILLS", "50"))
    for case in cases:
        place = folder / "saga" / f"{seed}-{case}"
        place.mkdir(parents=True, exist_ok=True)
        rough, started = case % 2 == 1, time.monotonic()
        backing = start_backing(place / "services")
        try:
            run = Run(backing, place / "run", random.Random(f"{seed}/saga/{case}"), orders, kills, rough)
            wrong = run.go()
        finally:
            backing.stop()
        what = f"{orders} orders, {kills} kills, a {'rough' if rough else 'calm'} provider"
        verdict = "ok" if not wrong else "VIOLATED " + "; ".join(wrong[:5])
        notes = dict(run.notes) | {"seconds": round(time.monotonic() - started)}
        print(f"saga {case} (SEED={seed}), {what}: {verdict}; {notes}", flush=True)
        note(folder, {"case": case, "seed": seed, "what": what, "notes": notes, "wrong": wrong}, KEPT)
        code |= bool(wrong)
    write_section(folder)
    return code


def write_section(folder: Path) -> None:
    """Every case's last run, for the report."""
    rows = {(row["seed"], row["case"]): row for row in rows_of(folder, KEPT)}
    said = [
        "## Orders: kill -9 of a worker at points and anywhere, over saga, deciders and payments",
        "",
        "A violation: an order that has not ended, or stock, money, books, inbox, commands or table that do not agree.",
        "",
        "| what | violations | confirmed, cancelled | kills at points, anywhere | seconds | seed, case | commit |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows.values():
        found: Counter[str] = Counter(row["notes"])
        said.append(
            f"| {row['what']} | {'; '.join(row['wrong'][:3]) or 0} | {found['confirmed']}, {found['cancelled']} "
            f"| {found['at points']}, {found['anywhere']} | {found['seconds']} | {row['seed']}, {row['case']} "
            f"| {row['commit']} |"
        )
    (folder / "saga.md").write_text("\n".join(said) + "\n")


if __name__ == "__main__":
    sys.exit(main(Path(".faults"), random.SystemRandom().randrange(1 << 31), range(2)))
