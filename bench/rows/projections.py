"""Read models built anew from the log, against what the log and the stores can do without a fold between them.

Two topics of facts are read: what the sample of commands leads to, made in memory by the roles' own functions and
published as the deciders and enrichers write them, headers included.
"""

from __future__ import annotations

import csv
import gc
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from bench.harness.facts import fill_facts, load_of_facts
from bench.harness.model import Contest, Ready, Run, ratio
from bench.harness.stand import BenchError, Stand
from bench.peers.raw import RawConsume
from eventlog.codec import Codec
from eventlog.discovery import catalog
from eventlog.reader import LogReader
from eventlog.registry import Registry
from eventlog.roles import Projection
from eventlog.settings import Settings
from eventlog.sink import Store
from projections.rebuild import Rebuild
from projections.stores import open_store
from projections.stores.postgres import PostgresSink
from schemas.trading import TRADING

EVENTS, ENRICHED = TRADING.topic("events"), TRADING.topic("enriched")
SETS, PIPELINE = 2_000_000, 16


def fold_version(
    projection: Projection, store: Store, version: int, settings: Settings, log: LogReader
) -> tuple[int, float]:
    """Fold the whole log into a version, in this process; the records, which are all that there are, and seconds."""
    with Registry(settings.registry) as registry:
        codec = Codec(registry, catalog().message_types)
        target = {place: end for topic in projection.sources for place, end in log.ends(topic.name).items()}
        with Rebuild(projection, store, version, codec, log) as rebuild:
            begun = time.perf_counter()
            rebuild.fold(target)
            seconds = time.perf_counter() - begun
            records = rebuild.records
    if records != sum(target.values()):
        raise BenchError(f"{records} of {sum(target.values())} records were folded")
    return records, seconds


@dataclass(frozen=True)
class RebuildModel(Ready):
    """The product: what `onefact replay MODEL` does to build a version, up to the comparison with the live one."""

    name: str
    model: str
    with_offset: bool = True

    @property
    def what(self) -> str:
        how = "" if self.with_offset else ", its position not written and not compared"
        return f"rebuild of {self.model} as `onefact replay` builds it, one process{how}"

    def reader(self, stand: Stand) -> LogReader:
        """Where the facts are read from."""
        return LogReader(stand.settings)

    def run(self, stand: Stand, number: int) -> Run:
        (projection,) = (p for p in catalog().projections if p.model.name == self.model)
        store = open_store(projection.model.store, stand.settings)
        store.prepare([projection.model])
        version = store.create_version(projection.model)
        gc.collect()
        try:
            with self.reader(stand) as log, self._offset():
                records, seconds = fold_version(projection, store, version, stand.settings, log)
            rows = sum(1 for _ in store.scan(projection.model, version))
        finally:
            store.drop_version(projection.model, version)
            store.close()
        if not rows:
            raise BenchError(f"{records} records were folded into no row")
        return Run({"rate": records / seconds, "records": records, "rows": rows, "seconds": seconds})

    @contextmanager
    def _offset(self) -> Iterator[None]:
        if self.with_offset:
            yield
            return
        with patch.object(PostgresSink, "_advance", lambda *_: None):
            yield


@dataclass(frozen=True)
class RedisBenchmark:
    """The server alone, as its own tool measures it."""

    name: str = "redis-benchmark"

    @property
    def what(self) -> str:
        return f"`redis-benchmark -P {PIPELINE} -n {SETS} -r 1000000 -t set -c 50` against the same server"

    def missing(self) -> str | None:
        return None if shutil.which("redis-benchmark") else "redis-benchmark (Debian: apt-get install redis-tools)"

    def prepare(self, stand: Stand) -> None:
        pass

    def run(self, stand: Stand, number: int) -> Run:
        found = re.fullmatch(r"redis://:([^@]*)@([^:]+):(\d+)/\d+", stand.settings.redis)
        if found is None:
            raise BenchError("the address of Redis is not redis://:password@host:port/number")
        password, host, port = found.groups()
        done = subprocess.run(
            ["redis-benchmark", "-h", host, "-p", port, "-a", password, "-P", str(PIPELINE), "-n", str(SETS),
             "-r", "1000000", "-t", "set", "-c", "50", "--csv"],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        _flush_bench_keys(stand)
        (row,) = (row for row in csv.reader(done.stdout.splitlines()) if row and row[0] == "SET")
        return Run({"rate": float(row[1])})


def _flush_bench_keys(stand: Stand) -> None:
    import redis

    client: Any = redis.Redis.from_url(stand.settings.redis)
    keys = list(client.scan_iter("key:*", count=10_000))
    for at in range(0, len(keys), 10_000):
        client.unlink(*keys[at : at + 10_000])
    client.close()


CONTEST = Contest(
    "projections",
    "Read models built anew from the log: Avro decoded, headers read, folded, rows and position in one transaction.",
    (
        RawConsume("consume-events", EVENTS),
        RawConsume("consume-enriched", ENRICHED),
        RebuildModel("ledger", "ledger"),
        RebuildModel("ledger-without-offset", "ledger", with_offset=False),
        RebuildModel("positions", "positions"),
        RedisBenchmark(),
        RebuildModel("portfolio", "portfolio"),
        RebuildModel("leaderboard", "leaderboard"),
    ),
    (
        ratio("positions-rebuild", "Postgres, positions (rows that change), rebuild ÷ raw consume of the same topic",
              "positions", "consume-enriched", at_least=0.25),
        ratio("ledger-rebuild", "Postgres, ledger (a row of 9 columns per fact), rebuild ÷ raw consume", "ledger",
              "consume-events", at_least=0.25),
        ratio("ledger-offset", "Postgres, ledger, offset in the transaction ÷ without", "ledger",
              "ledger-without-offset", at_least=0.9),
        ratio("leaderboard-rebuild", "Redis, leaderboard, facts/s ÷ `redis-benchmark -P 16` SET/s", "leaderboard",
              "redis-benchmark", at_least=0.25),
        ratio("portfolio-rebuild", "Redis, portfolio (5 fields and holdings), facts/s ÷ `redis-benchmark -P 16` SET/s",
              "portfolio", "redis-benchmark", at_least=0.25),
    ),
    prepare=fill_facts,
    load=load_of_facts,
)  # fmt: skip
