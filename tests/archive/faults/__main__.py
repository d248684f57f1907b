"""The campaign: `make faults-archive`, or `python -m tests.archive.faults`.

    SEED=4711 CASES=300 FIRST=0     SEED repeats a run; CASES from the FIRST on, so that it can be done in parts
    ONLY="17 43", FAULT=kill        these cases; and of faults kills alone, or the store's alone (FAULT=store)
    SECONDS=600                     no new case is begun after that
    JOBS=2                          processes that share the operations out
    RESUME=1                        leave out cases of this seed that RUN has already
    REPORT=REPORT.md                written in the end from all cases of this seed, and all plants, that RUN has
    PLANTS="name ..." or all        planted bugs instead, each until it is found; see plants/

Each case is a topic and a bucket of its own, an operation, and a fault in the middle of it: a kill at a named point,
or a store that misbehaves. What must hold (`checks`) is asked after the fault, and after the operation was done again.
Services are those of ONEFACT_KAFKA, _REGISTRY, _S3, _POSTGRES and _REDIS, or are started.
Exit code 1 when something did not hold; what was found is in RUN (.faults)/archive.jsonl and archive-plants.jsonl.
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.archive.faults import report
from tests.archive.faults.campaign import Campaign
from tests.archive.faults.plants._table import PLANTS, what
from tests.archive.faults.work import CAMPAIGN
from tests.faults.results import note, rows_of

CASES = 300
CASES_KEPT, PLANTS_KEPT = "archive.jsonl", "archive-plants.jsonl"


def main() -> int:
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 31))
    print(f"SEED={seed}", flush=True)
    if "ONEFACT_KAFKA" not in os.environ:
        return with_services(seed)
    wanted = os.environ.get("PLANTS", "").replace(",", " ").split()
    with proxied(os.environ["ONEFACT_S3"]) as proxy, tempfile.TemporaryDirectory(prefix="onefact-faults-") as folder:
        campaign = Campaign(proxy, Path(folder), seed, known=kept_in() / f"points-{seed}.json")
        code = plants(campaign, wanted) if wanted else cases(campaign)
    rows = rows_of(kept_in(), CASES_KEPT)
    if (told := os.environ.get("REPORT")) and report.last_of(rows, seed):
        report.write(Path(told), rows, rows_of(kept_in(), PLANTS_KEPT), seed)
    return code


def with_services(seed: int) -> int:
    """The same in a process that finds services: one that has talked to some must not be forked."""
    from tests.backing import start_backing

    with tempfile.TemporaryDirectory(prefix="onefact-services-") as folder:
        backing = start_backing(Path(folder), services=("kafka", "registry", "s3", "postgres", "redis"))
        try:
            env = os.environ | backing.env | {"SEED": str(seed)}
            program = [sys.executable, "-m", "tests.archive.faults"]
            jobs = [subprocess.Popen(program, env=env | {"JOB": str(job)}) for job in range(_number("JOBS", 1))]
            return max(job.wait() for job in jobs)
        finally:
            backing.stop()


@contextlib.contextmanager
def proxied(url: str) -> Iterator[str]:
    """The store behind one that can be told to misbehave; its address."""
    program = [sys.executable, "-m", "tests.archive.faults.proxy", url]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            assert process.stdin is not None
            process.stdin.close()


def kept_in() -> Path:
    """Where rows of cases go."""
    kept = Path(os.environ.get("RUN") or ".faults")
    kept.mkdir(parents=True, exist_ok=True)
    return kept


def cases(campaign: Campaign) -> int:
    first, count = _number("FIRST", 0), _number("CASES", CASES)
    job, jobs = _number("JOB", 0), _number("JOBS", 1)
    limit_s = float(os.environ.get("SECONDS") or "inf")
    there = report.last_of(rows_of(kept_in(), CASES_KEPT), campaign.seed) if os.environ.get("RESUME") else {}
    began, injected, failed, done = time.monotonic(), Counter[str](), 0, 0
    only = [int(number) for number in os.environ.get("ONLY", "").split()]
    for number in only or range(first, first + count):
        # An operation is always of the same process: two bootstraps at once would fence each other.
        if number in there or number % len(CAMPAIGN) % jobs != job:
            continue
        if time.monotonic() - began > limit_s:
            break
        case = campaign.case(number, os.environ.get("FAULT"))
        violation = campaign.run(case)
        injected.update(case.injected)
        failed, done = failed + (violation is not None), done + 1
        note(kept_in(), case.row | {"seed": campaign.seed, "violation": violation}, CASES_KEPT)
        if violation:
            print(f"== {number} {case.operation}, {case.said}: {violation}", flush=True)
    faults = ", ".join(f"{count} {kind}" for kind, count in sorted(injected.items()))
    print(f"{done - failed} of {done} cases held in {time.monotonic() - began:.0f} s; injected: {faults}")
    print("seconds: " + ", ".join(f"{step} {took:.0f}" for step, took in campaign.seconds.most_common()))
    return int(failed > 0)


def _number(name: str, usual: int) -> int:
    return int(os.environ.get(name) or usual)


def plants(campaign: Campaign, wanted: list[str]) -> int:
    missed = []
    for name in PLANTS if wanted == ["all"] else wanted:
        found = campaign.search(name, PLANTS[name])
        print(f"== {name}: {found or 'NOT FOUND'}", flush=True)
        if found is None or found.partition(":")[0] not in PLANTS[name].invariants:
            missed.append(name)
        note(kept_in(), {"name": name, "what": what(name), "found": found, "seed": campaign.seed}, PLANTS_KEPT)
    print(f"{'all found' if not missed else 'NOT FOUND, or by surprise: ' + ', '.join(missed)}")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
