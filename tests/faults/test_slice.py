"""A slice of the campaign: a few of the faults of `make faults`, on one set of services. `SEED` repeats it.

Each case is drawn anew for every run: what is done, at which point, to which worker, for how long.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from functools import partial

import pytest

from tests.faults.case import Case, Kind
from tests.faults.kinds.clients import twice
from tests.faults.kinds.places import MODELS, PROCESSORS
from tests.faults.kinds.services import broker, stores
from tests.faults.kinds.workers import kill, place_of, storm, zombie
from tests.faults.stand import Stand

NUMBERS = range(300)
CASES: dict[str, tuple[Kind, Sequence[int]]] = {
    "kill at a random moment": (kill, [n for n in NUMBERS if place_of(n) is None]),
    "kill at a point of a processor": (kill, [n for n in NUMBERS if (place_of(n) or ("", ""))[1] in PROCESSORS]),
    "kill at a point of a projection": (kill, [n for n in NUMBERS if (place_of(n) or ("", ""))[1] in MODELS]),
    "the same commands twice, with a kill": (twice, NUMBERS[1::2]),
    "postgres during a batch": (stores, NUMBERS[0::5]),
    "redis during a rebuild": (stores, NUMBERS[3::5]),
    "redis emptied": (stores, NUMBERS[4::5]),
    "broker killed": (broker, NUMBERS[1::3]),
    "joining and leaving": (partial(storm, storm_s=16.0), NUMBERS),
    "stopped and woken": (zombie, NUMBERS),
}
"""What is done, and the numbers of cases that do it."""
ALWAYS, DRAWN = 3, 3
"""The first of them are done in every run, and some of the others."""


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    made = Stand(tmp_path_factory.mktemp("faults"), state="trading.decider=rocksdb")
    yield made
    made.stop()


@pytest.mark.timeout(600)
def test_every_invariant_holds_after(stand: Stand) -> None:
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 31))
    print(f"SEED={seed}")
    draw = random.Random(seed)
    names = list(CASES)
    for at, name in enumerate([*names[:ALWAYS], *draw.sample(names[ALWAYS:], DRAWN)]):
        kind, numbers = CASES[name]
        case = Case(stand, f"slice-{at}-", draw.choice(numbers), seed)
        try:
            stand.wait_ready()
            kind(case)
            case.finish()
        finally:
            case.close()
            print(f"{name}: {case.notes}, {case.counts}, recovered in {case.recovery_s:.1f} s")
    case.check_whole()
