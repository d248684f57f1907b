"""`SEED=7 RECORDS=310000 python -m tests.faults.poison`; what came of it is kept in `RUN`/poison.md."""

from __future__ import annotations

import os
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from eventlog.settings import Settings
from tests.backing import start_backing
from tests.faults.poison.campaign import run
from tests.faults.stand import SERVICES


def text_of(report: dict[str, Any], seed: int, count: int) -> str:
    counts, codes = report["counts"], report["codes"]
    memory = ", ".join(f"{n} {report['mb_before'][n]} → {report['mb_after'][n]} MB" for n in report["mb_before"])
    rows = "\n".join(f"| {code} | {number:,} |" for code, number in sorted(codes.items()))
    return f"""## Poison: {report["made"]["changed"]:,} changed records among {count:,} (SEED={seed})

Commands {counts["trading.commands input"]:,} =
accepted {counts["accepted"]:,} + refused {counts["refused"]:,} + deduplicated
{counts["repeated"]:,} + dead-lettered {counts["trading.commands dead"]:,}; facts by strangers and prices: dead
{counts["trading.events dead"]:,} and {counts["market.prices dead"]:,}.
Every partition at its end {report["seconds"]:.0f} s after the last record;
no worker restarted; most memory before and after: {memory}. Violations: 0.

| dead letter | records |
|---|---|
{rows}
"""


def main() -> int:
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 31))
    count = int(os.environ.get("RECORDS") or 310_000)
    target = Path(os.environ.get("RUN") or ".faults")
    print(f"SEED={seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="onefact-poison-") as name:
        backing = start_backing(Path(name) / "services", SERVICES)
        try:
            settings = Settings(**backing.settings())
            report = run(settings, backing.env, Path(name) / "logs", random.Random(seed), count)
        finally:
            backing.stop()
    target.mkdir(parents=True, exist_ok=True)
    (target / "poison.md").write_text(text_of(report, seed, count))
    print(text_of(report, seed, count))
    return 0


if __name__ == "__main__":
    sys.exit(main())
