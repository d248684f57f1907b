"""A slice of the campaign of poison: some thousands of records."""

from __future__ import annotations

from pathlib import Path

from eventlog.settings import Settings
from tests.backing import Backing, start_backing
from tests.faults.poison.campaign import run
from tests.faults.stand import SERVICES
from tests.runtime.harness import seeded


def test_poison_stops_nothing_and_nothing_is_lost(tmp_path: Path) -> None:
    # Services of its own: what else is in the topics would be judged.
    backing: Backing = start_backing(tmp_path / "services", SERVICES)
    try:
        report = run(Settings(**backing.settings()), backing.env, tmp_path / "logs", seeded(), 3000)
    finally:
        backing.stop()
    print(report)
    assert report["codes"].keys() >= {"no_key", "bad_header", "bad_avro", "unknown_schema", "wrong_schema", "wrong_key"}
