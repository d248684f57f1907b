"""A world of the shop's facts, and what checkpoints of its models are held against."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from eventlog.digest import canonical
from eventlog.memory import MemoryRows
from eventlog.position import Position
from eventlog.reader import to_record
from eventlog.roles import Projection
from eventlog.steps import ProjectStep
from projections.checkpoints import Checkpointed, checkpoint
from projections.folding import time_of
from tests.projections.kinds import KINDS
from tests.projections.shop import EVENTS, Counted
from tests.projections.world import MemoryLog, World

START = datetime.fromisoformat("2026-03-01T09:00:00+00:00")
SHOPS = [f"s{number}" for number in range(9)]
FACTS = 400


def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Facts a minute apart; one in twenty has a time of up to an hour before, one in twenty is ahead."""
    made = World(tmp_path, KINDS)
    made.patch(monkeypatch)
    # One file for a few rows, so that there are several in a checkpoint.
    monkeypatch.setattr("eventlog.archive.checkpoints.BUCKET_ROWS", 20)
    rng = random.Random(20)
    for number in range(FACTS):
        back = rng.choice((rng.randrange(60), -100)) if rng.random() < 0.1 else 0
        fact = Counted(shop=rng.choice(SHOPS), item=rng.choice("abcdef"), quantity=Decimal(rng.randrange(-8, 20)) / 4)
        made.append(EVENTS, fact, START + timedelta(minutes=number - back))
    return made


def folded(world: World, projection: Projection, point: datetime | Position) -> list[bytes]:
    """An independent fold, record by record from the beginning."""
    rows = MemoryRows(projection.model)
    for partition in range(EVENTS.partitions):
        step = ProjectStep(projection, EVENTS, world.codec)
        for place, messages, _ in MemoryLog(world.records).batches({(EVENTS.name, partition): (0, 10**9)}):
            for message in messages:
                if isinstance(point, Position):
                    held = message.offset() < point.offsets.get(place, 0)
                else:
                    time = time_of(message)
                    held = time is not None and time <= point
                if held:
                    rows.apply(step.run([to_record(message)]).changes)
    return sorted(map(canonical, rows.scan()))


def made(world: World, projection: Projection, every: int = 41, **options: Any) -> Checkpointed:
    return checkpoint(projection.model.name, world.settings, every=every, catalog=world.catalog, **options)
