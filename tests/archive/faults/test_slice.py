"""A slice of the campaign over the archive, of which `make faults-archive` is the whole, and every planted bug."""

from __future__ import annotations

import importlib
import os
import random
import subprocess
import sys

import pytest

from tests.apart import exit_code
from tests.archive.faults import rebuilds
from tests.archive.faults.plants._table import PLANTS, what
from tests.archive.faults.work import CAMPAIGN
from tests.backing import Backing


def campaign(backing: Backing, **told: object) -> str:
    """What it said."""
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 31))
    env = os.environ | backing.env | {"SEED": str(seed)} | {name: str(value) for name, value in told.items()}
    # A process of its own: this one has threads of many clients, and must not be forked.
    done = subprocess.run(
        [sys.executable, "-m", "tests.archive.faults"],
        env=env,
        check=False,
        capture_output=True,
        text=True,
        timeout=850,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(600)
def test_every_invariant_holds_after_any_fault(backing: Backing, tmp_path: object) -> None:
    """A kill of something that is done to the archive, and one of something that is built from it."""
    draw, operations = random.SystemRandom(), list(CAMPAIGN)
    of_models = [number for number, name in enumerate(operations) if CAMPAIGN[name].fill is rebuilds.fill]
    others = [number for number in range(len(operations)) if number not in of_models]
    drawn = (draw.choice(of_models), draw.choice(others))
    numbers = [number + len(operations) * draw.randrange(100) for number in drawn]
    said = campaign(backing, ONLY=" ".join(map(str, numbers)), FAULT="kill", RUN=tmp_path)
    assert "2 of 2 cases held" in said
    assert " kill" in said, "nothing was killed"


@pytest.mark.timeout(900)
def test_every_planted_bug_is_found(backing: Backing, tmp_path: object) -> None:
    said = campaign(backing, PLANTS="all", RUN=tmp_path)
    assert all(f"== {name}: " in said for name in PLANTS)
    assert "all found" in said


def plant(name: str) -> None:
    importlib.import_module(f"tests.archive.faults.plants.{name}").plant()


@pytest.mark.parametrize("name", sorted(PLANTS))
def test_it_can_be_planted(name: str) -> None:
    """In a process of its own: a bug that was planted stays."""
    assert what(name)
    assert exit_code(plant, name) == 0, f"{name} does not fit the product any more"


def test_every_bug_is_looked_for() -> None:
    import pkgutil

    from tests.archive.faults import plants

    modules = {found.name for found in pkgutil.iter_modules(plants.__path__) if not found.name.startswith("_")}
    assert modules == PLANTS.keys()
    assert len(PLANTS) >= 20
