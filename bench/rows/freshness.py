"""How soon a command can be read: from the moment that it is sent until both stores show what it led to."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import psycopg
import redis

from bench.harness.model import Contest, Ready, Run, Target, figure
from bench.harness.stand import Stand, until
from bench.harness.worker import WorkerProcess
from eventlog.discovery import catalog
from eventlog.provision import provision
from producers import Publisher
from projections.stores import OPTIONAL, open_store
from schemas.trading import DepositCash, OpenPortfolio

RATE = 2_000
SECONDS = 30
WARM_S = 10
"""At the same rate, before anything counts."""
PROBE_EVERY = 50
"""Every so many commands one opens a portfolio of its own, and is looked for."""
LOOK_S = 0.002
START_TIMEOUT_S = 120.0
LOST_S = 120.0


@dataclass
class Probes:
    """Portfolios that were opened, and when they were sent and first seen."""

    sent: dict[str, float] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)

    def percentiles(self, after: float) -> tuple[float, float]:
        """p50 and p99 in ms of those sent after a moment."""
        waits = [(self.seen[p] - sent) * 1000 for p, sent in self.sent.items() if sent >= after]
        cuts = statistics.quantiles(waits, n=100)
        return cuts[49], cuts[98]


def _look(probes: Probes, find: Callable[[list[str]], Iterable[str]], stop: threading.Event) -> None:
    while not stop.is_set():
        asked = list(probes.waiting)
        for found in find(asked) if asked else ():
            probes.seen[found] = time.monotonic()
            probes.waiting.discard(found)
        time.sleep(LOOK_S)


@dataclass(frozen=True)
class Live(Ready):
    """The product as `onefact up` runs it: a process of processors, a process of projections."""

    name: str = "onefact"
    what: str = (
        f"`onefact worker processors` and `onefact worker projections` as shipped; {RATE:,} commands/s for {SECONDS} s "
        f"by `Publisher`, one in {PROBE_EVERY} is looked for every {LOOK_S * 1000:g} ms in each store"
    )

    def run(self, stand: Stand, number: int) -> Run:
        _empty(stand)
        with ExitStack() as stack:
            workers = [stack.enter_context(WorkerProcess(stand, role, role)) for role in ("processors", "projections")]
            until(lambda: all(_ready(worker) for worker in workers), "workers ready", START_TIMEOUT_S)
            return self._measure(stand, stack, number)

    def _measure(self, stand: Stand, stack: ExitStack, number: int) -> Run:
        connection = stack.enter_context(psycopg.connect(stand.settings.postgres, autocommit=True))
        client: Any = redis.Redis.from_url(stand.settings.redis, decode_responses=True)
        stack.callback(client.close)

        def in_postgres(asked: list[str]) -> list[str]:
            query = "SELECT portfolio_id FROM ledger WHERE portfolio_id = ANY(%s) AND version = 1"
            return [row[0] for row in connection.execute(query, (asked,), prepare=True)]

        def in_redis(asked: list[str]) -> list[str]:
            pipe = client.pipeline(transaction=False)
            for portfolio in asked:
                pipe.hexists(f"onefact:portfolio:v1:row:{portfolio}", "version")
            return [portfolio for portfolio, there in zip(asked, pipe.execute(), strict=True) if there]

        stores = {"postgres": (Probes(), in_postgres), "redis": (Probes(), in_redis)}
        stop = threading.Event()
        threads = [threading.Thread(target=_look, args=(probes, find, stop)) for probes, find in stores.values()]
        for thread in threads:
            thread.start()
        try:
            counted_from, late = self._send(stand, [probes for probes, _ in stores.values()], number)
            until(lambda: not any(p.waiting for p, _ in stores.values()), "all commands readable", LOST_S)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        figures: dict[str, float] = {"sent_late_ms": late}
        for store, (probes, _) in stores.items():
            figures[f"{store}_p50"], figures[f"{store}_p99"] = probes.percentiles(counted_from)
        return Run(figures)

    @staticmethod
    def _send(stand: Stand, all_probes: list[Probes], number: int) -> tuple[float, float]:
        """Send at the rate; the moment from which on commands count, and by how much the sender was late at worst."""
        with Publisher(stand.settings) as publisher:
            publisher.send(OpenPortfolio(portfolio_id=f"r{number}-0", owner="ada", currency="USD"))
            publisher.flush()
            begun, late, portfolio = time.monotonic(), 0.0, f"r{number}-0"
            for n in range(RATE * (WARM_S + SECONDS)):
                due = begun + n / RATE
                if (now := time.monotonic()) < due:
                    publisher.sender.poll(0)
                    time.sleep(max(0.0, due - time.monotonic()))
                elif n > RATE * WARM_S:
                    late = max(late, now - due)
                if n % PROBE_EVERY:
                    publisher.send(DepositCash(portfolio_id=portfolio, amount="1"))
                    continue
                portfolio = f"r{number}-{n + 1}"
                moment = time.monotonic()
                publisher.send(OpenPortfolio(portfolio_id=portfolio, owner="ada", currency="USD"))
                for probes in all_probes:
                    probes.sent[portfolio] = moment
                    probes.waiting.add(portfolio)
        return begun + WARM_S, late * 1000


def _ready(worker: WorkerProcess) -> bool:
    worker.check_alive()
    roles = worker.status()
    return bool(roles) and all(
        role["partitions"] and all(each["ready"] for each in role["partitions"].values()) for role in roles.values()
    )


def _empty(stand: Stand) -> None:
    """Nothing in any topic or read model, so that positions agree."""
    found = catalog()
    roles = [role.name for kind in (found.deciders, found.enrichers, found.projections) for role in kind]
    stand.fresh(found.topics, *roles)
    with psycopg.connect(stand.settings.postgres, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS onefact CASCADE")
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    client: Any = redis.Redis.from_url(stand.settings.redis)
    client.flushdb()
    client.close()
    provision(stand.settings)
    for name in {projection.model.store for projection in found.projections} - OPTIONAL:
        store = open_store(name, stand.settings)
        store.prepare([p.model for p in found.projections if p.model.store == name])
        store.close()


CONTEST = Contest(
    "freshness",
    f"From sending to reading, at {RATE:,} commands/s through decider, enricher and projections.",
    (Live(),),
    tuple(
        figure(f"{store}-{percentile}", f"sent → readable in {shown}, {percentile}", "onefact", f"{store}_{percentile}",
               "ms", target=Target(limit, "at most"))
        for store, shown in (("postgres", "Postgres (ledger)"), ("redis", "Redis (portfolio)"))
        for percentile, limit in (("p50", 50.0), ("p99", 250.0))
    ),
    load=lambda _: f"{RATE * (WARM_S + SECONDS):,} commands",
)  # fmt: skip
