"""Every contest of the bench works: a slice so small that its figures mean nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench.harness.report import keep
from bench.harness.runner import contests, run_contest
from bench.harness.stand import Stand
from eventlog.settings import Settings
from tests.backing import start_backing

COMMANDS = 5000


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """Services of its own: contestants delete the topics of the product between their runs."""
    backing = start_backing(tmp_path_factory.mktemp("backing"))
    try:
        yield Stand(Settings(**backing.settings()), COMMANDS, tmp_path_factory.mktemp("work"))
    finally:
        backing.stop()


@pytest.mark.timeout(1200)  # Maven and pip fetch the peers at first
@pytest.mark.parametrize("name", contests())
def test_a_slice_of_every_contest(stand: Stand, tmp_path: Path, name: str) -> None:
    contest = contests()[name]
    stand.shared.clear()
    lacking = {c.name: reason for c in contest.contestants if (reason := c.missing()) is not None}
    able = [c for c in contest.contestants if c.name not in lacking]
    result = run_contest(replace(contest, contestants=able), stand, 1, print)
    assert not result.failures
    for row, spread in result.rows():
        if not lacking.keys() & set(row.needs):
            assert spread is not None, row.name
            assert math.isfinite(spread.median), row.name
            assert spread.median > 0, row.name
    keep([result.document()], tmp_path)
    assert json.loads((tmp_path / "results.json").read_text())[name]["commands"] == COMMANDS
    assert f"## {name}" in (tmp_path / "RESULTS.md").read_text()
    if lacking:
        pytest.skip(f"all but {lacking}")
