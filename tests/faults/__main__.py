"""The campaign: `make faults`, or `python -m tests.faults`. Every option is an environment variable, too.

    make faults                                  every kind at its full number of cases
    make faults KIND=kill,twice CASES=20         20 of each of these
    make faults CASES=kill=30,zombie=4           so many of these
    make faults CASES=10%                        a tenth of each
    make faults SEED=7 KIND=kill CASE=12         one case again
    make faults KIND=saga                        the saga of orders: see tests/faults/saga/campaign.py
    make faults JOBS=2                           two sets of services side by side
    make faults SEED=7 RESUME=1                  what is not yet among the results of that seed
    make faults KIND=kill CASES=50 PLANT=name    with a planted bug: ends at the first violation, code 0 if there is one

Results are added to `RUN` (.faults); the report is written from all that are there. Exit code 1 when an invariant was
violated; what was seen is in `RUN/evidence`.
"""

from __future__ import annotations

import argparse
import os
import queue
import random
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from tests.faults.case import Case, Skipped
from tests.faults.kinds import KINDS, state_of
from tests.faults.results import note, noted, write_report
from tests.faults.saga import campaign as saga
from tests.faults.stand import Stand
from tests.faults.yardstick import Violation
from tests.runtime.harness import ROOT

WHOLE_EVERY = 25
"""Cases between two comparisons of whole models."""


def main() -> int:
    options = parse()
    folder = Path(options.run).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if options.child:
        kind, first, last = options.child.split(":")
        return run_cases(folder, kind, range(int(first), int(last)), int(options.seed), options.plant)
    seed = int(options.seed) if options.seed else random.SystemRandom().randrange(1 << 31)
    print(f"SEED={seed}", flush=True)
    if options.kind == "saga":  # orders in place of portfolios, and judged by other rules
        code = saga.main(folder, seed, [int(options.case)] if options.case else range(int(options.cases or 2)))
        write_report(folder)
        return code
    kinds = options.kind.split(",") if options.kind else list(KINDS)
    if unknown := set(kinds) - KINDS.keys():
        sys.exit(f"there is no kind {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    if options.case:
        assert len(kinds) == 1, "CASE wants one KIND"
        chunks = [(kinds[0], int(options.case), int(options.case) + 1)]
    else:
        chunks = split(numbers(options.cases, kinds))
        if options.resume:
            chunks = list(left_of(chunks, {(row["kind"], row["case"]) for row in noted(folder) if row["seed"] == seed}))
    if options.plant:
        return planted(folder, chunks, seed, options.plant)
    code = side_by_side(folder, chunks, seed, int(options.jobs))
    write_report(folder)
    print(f"the report is in tests/faults/REPORT.md; {'no violation' if code == 0 else 'VIOLATIONS'}")
    return code


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {
        "seed": "",
        "kind": "",
        "cases": "",
        "case": "",
        "jobs": "1",
        "resume": "",
        "plant": "",
        "run": ".faults",
    }.items():
        parser.add_argument(f"--{name}", default=os.environ.get(name.upper()) or default)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def numbers(cases: str, kinds: list[str]) -> dict[str, int]:
    """Cases of each kind, from what `CASES` says."""
    planned = {kind: KINDS[kind].cases for kind in kinds}
    if not cases:
        return planned
    if cases.endswith("%"):
        return {kind: max(1, round(count * float(cases[:-1]) / 100)) for kind, count in planned.items()}
    if "=" not in cases:
        return dict.fromkeys(kinds, int(cases))
    return {kind: int(count) for kind, _, count in (part.partition("=") for part in cases.split(","))}


def split(wanted: dict[str, int]) -> list[tuple[str, int, int]]:
    """Chunks, each for services of its own; kinds that wait and kinds that work in turn, so that they mix."""
    by_kind = [
        [(kind, at, min(at + KINDS[kind].chunk, count)) for at in range(0, count, KINDS[kind].chunk)]
        for kind, count in wanted.items()
    ]
    mixed = []
    while any(by_kind):
        for chunks in by_kind:
            if chunks:
                mixed.append(chunks.pop(0))
    return mixed


def left_of(chunks: list[tuple[str, int, int]], done: set[tuple[str, int]]) -> Iterator[tuple[str, int, int]]:
    """Of each chunk what follows the last case that was run."""
    for kind, first, last in chunks:
        begin = max((number + 1 for number in range(first, last) if (kind, number) in done), default=first)
        if begin < last:
            yield kind, begin, last


def side_by_side(folder: Path, chunks: list[tuple[str, int, int]], seed: int, jobs: int) -> int:
    waiting: queue.SimpleQueue[tuple[str, int, int]] = queue.SimpleQueue()
    for chunk in chunks:
        waiting.put(chunk)
    codes: list[int] = []

    def work() -> None:
        while True:
            try:
                kind, first, last = waiting.get_nowait()
            except queue.Empty:
                return
            words = ["--child", f"{kind}:{first}:{last}", "--seed", str(seed), "--run", str(folder)]
            codes.append(
                subprocess.run([sys.executable, "-m", "tests.faults", *words], cwd=ROOT, check=False).returncode
            )

    threads = [threading.Thread(target=work) for _ in range(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return int(any(codes))


def planted(folder: Path, chunks: list[tuple[str, int, int]], seed: int, plant: str) -> int:
    """0 as soon as the campaign has caught the bug, 1 when it did not."""
    started = time.monotonic()
    for kind, first, last in chunks:
        if run_cases(folder, kind, range(first, last), seed, plant):
            print(f"{plant}: caught after {time.monotonic() - started:.0f} s", flush=True)
            return 0
    print(f"{plant}: NOT CAUGHT in {sum(last - first for _, first, last in chunks)} cases", flush=True)
    return 1


def run_cases(folder: Path, kind: str, cases: range, seed: int, plant: str | None = None) -> int:
    """Cases one after the other; 1 when an invariant was violated. With a planted bug the first violation ends it."""
    place = folder / "work" / f"{kind}-{cases.start}-{os.getpid()}"
    stand: Stand | None = None
    code = 0
    try:
        for number in cases:
            if stand is None:
                place.mkdir(parents=True, exist_ok=True)
                stand = Stand(place / str(number), state_of(kind, number), plant)
            whole = (number + 1) % WHOLE_EVERY == 0 or number == cases[-1]
            if run_case(folder, stand, kind, number, seed, whole, plant):
                continue
            code = 1
            stand.stop()
            stand = None  # the next case is not to suffer for this one
            if plant:
                break
    finally:
        if stand is not None:
            stand.stop()
    return code


def run_case(folder: Path, stand: Stand, kind: str, number: int, seed: int, whole: bool, plant: str | None) -> bool:
    """True when every invariant held."""
    started, before = time.monotonic(), stand.log.records
    case = Case(stand, kind, number, seed)
    violation = skipped = ""
    try:
        stand.wait_ready()
        KINDS[kind].run(case)
        case.finish()
        if whole:
            case.check_whole()
    except Skipped as why:
        skipped = str(why)
    except Violation as found:
        violation = str(found)
    except Exception as error:
        violation = f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
    row = {
        "kind": kind, "case": number, "seed": seed, "ok": not violation, "violation": violation,
        "commands": case.counts.get("input", 0), "facts": stand.log.records - before,
        "recovery_s": round(case.recovery_s, 2), "seconds": round(time.monotonic() - started, 1),
        "notes": case.notes, "counts": case.counts, "restarts": stand.restarts,
        "state": state_of(kind, number), "skipped": skipped,
    }  # fmt: skip
    verdict = f"VIOLATED {violation.splitlines()[0][:500]}" if violation else f"skipped, {skipped}" if skipped else "ok"
    print(
        f"{kind} {number} (SEED={seed}): {verdict}; {row['commands']} commands, {row['facts']} facts, recovered in "
        f"{row['recovery_s']} s, {row['seconds']} s; {case.notes}",
        flush=True,
    )
    if violation:
        stand.keep_evidence(folder / "evidence" / f"{plant + '-' if plant else ''}{kind}-{number}-{seed}", **row)
    case.close()
    if not plant:
        note(folder, row)
    return not violation


if __name__ == "__main__":
    sys.exit(main())
