"""A slice of the campaign over the saga: a few orders and kills, with a provider that misbehaves. `SEED` repeats it."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.backing import Backing
from tests.faults.saga.campaign import Run

ORDERS, KILLS = 16, 2
DEADLINES = "fulfilment.reservation=15,fulfilment.payment=15,fulfilment.retry=3"


@pytest.mark.timeout(400)
def test_every_order_ends_and_nothing_is_lost(backing: Backing, tmp_path: Path) -> None:
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 31))
    print(f"SEED={seed}")
    run = Run(backing, tmp_path, random.Random(seed), ORDERS, KILLS, rough=True, away_s=2.0, deadlines=DEADLINES)
    assert run.go() == []
    print(run.notes)
    assert run.notes["confirmed"] and run.notes["cancelled"]
