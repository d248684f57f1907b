"""The campaign finds what it is there to find: a few of the planted bugs of `make faults-plants`."""

from __future__ import annotations

import importlib
import os
import pkgutil
import random
import signal
from pathlib import Path

import pytest

from tests.apart import exit_code
from tests.faults import plants, points
from tests.faults.case import Case
from tests.faults.kinds import KINDS
from tests.faults.plants._table import CAMPAIGNS, PLANTS, what
from tests.faults.stand import WORKERS, Stand
from tests.faults.yardstick import Violation

MODULES = sorted(m.name for m in pkgutil.iter_modules(plants.__path__) if not m.name.startswith("_"))
FOUND_HERE = ("add_dropped_by_put", "dedup_off")
"""One after the other in the same services, so that the second is not to suffer from what the first has spoilt."""


def test_every_bug_is_looked_for() -> None:
    assert sorted(PLANTS) == MODULES
    assert len(PLANTS) >= 20
    for name, planted in PLANTS.items():
        assert what(name), name
        assert planted.numbers, name
        own = planted.numbers[:1] if planted.kind == "zombie" else planted.numbers  # others follow the campaign's
        assert planted.kind in CAMPAIGNS or max(own) < KINDS[planted.kind].cases, name


def plant(name: str) -> None:
    importlib.import_module(f"tests.faults.plants.{name}").plant()
    points.install()


@pytest.mark.parametrize("name", MODULES)
def test_it_can_be_planted(name: str) -> None:
    """In a process of its own: a bug that was planted stays."""
    assert exit_code(plant, name) == 0, f"{name} does not fit the product any more"


@pytest.mark.timeout(600)
def test_planted_bugs_are_found(tmp_path: Path) -> None:
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 31))
    print(f"SEED={seed}")
    stand = Stand(tmp_path, plant=FOUND_HERE[0])
    try:
        for name in FOUND_HERE:
            if stand.env["ONEFACT_TEST_PLANT"] != name:
                stand.env["ONEFACT_TEST_PLANT"] = name
                for worker in WORKERS:
                    stand.leave(worker, signal.SIGKILL)
                for worker in WORKERS:
                    stand.join(worker)
            with pytest.raises(Violation) as found:
                run(stand, name, seed)
            print(f"{name}: {found.value}")
            assert found.value.invariant in PLANTS[name].invariants
    finally:
        stand.stop()


def run(stand: Stand, name: str, seed: int) -> None:
    planted = PLANTS[name]
    case = Case(stand, name, planted.numbers[0], seed)
    try:
        stand.wait_ready()
        KINDS[planted.kind].run(case)
        case.finish()
    finally:
        case.close()
