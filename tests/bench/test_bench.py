"""Every contest of the bench works: a slice so small that its figures mean nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench.__main__ import stand_up
from bench.harness import asof
from bench.harness.report import keep
from bench.harness.runner import contests, run_contest
from bench.harness.stand import Stand
from tests.backing import free_port_base

COMMANDS = 5000


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """The bench's own services: contestants delete the topics of the product between their runs."""
    with pytest.MonkeyPatch.context() as env:
        env.setenv("ONEFACT_HOME", str(tmp_path_factory.mktemp("bench")))
        env.setenv("ONEFACT_PORT_BASE", str(free_port_base()))
        with stand_up(COMMANDS, keep_up=False, profile=None) as stand:
            yield stand


@pytest.mark.timeout(1200)  # Maven and pip fetch the peers at first
@pytest.mark.parametrize("name", contests())
def test_a_slice_of_every_contest(stand: Stand, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asof, "READS", 2 * asof.PROVED)
    monkeypatch.setattr(asof, "PROCESSES", 1)
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
