"""Checkpoints of the read models, made beside an archiver."""

from __future__ import annotations

import json
import secrets
import signal
from pathlib import Path

import psutil

from eventlog.discovery import catalog
from eventlog.reader import LogReader
from eventlog.settings import Settings
from projections.checkpoints import checkpoints_of
from projections.finding import projection_of
from tests.backing import Backing
from tests.cli.conftest import Onefact
from tests.runtime.harness import Workers, wait_until

MODEL = "ledger"
WAIT_S = 60


def test_an_archiver_has_checkpoints_made(
    onefact: Onefact, backing: Backing, settings: Settings, tmp_path: Path
) -> None:
    opened = json.dumps({"portfolio_id": f"checked-{secrets.token_hex(4)}", "owner": "o", "currency": "USD"})
    assert onefact("send", "trading", "OpenPortfolio", opened, "--wait").code == 0
    own = settings.model_copy(update={"s3": f"{settings.s3.rpartition('/')[0]}/cli-{secrets.token_hex(4)}"})
    projection = projection_of(catalog(), MODEL)
    with LogReader(settings) as log:
        offsets = sum(end for source in projection.sources for end in log.ends(source.name).values())
    env = {"ONEFACT_S3": own.s3, "ONEFACT_CHECKPOINT_EVERY_S": "1", "ONEFACT_CHECKPOINT_OFFSETS": str(offsets)}
    workers = Workers(backing.env | env, tmp_path, "deploy.worker")
    kept = checkpoints_of(projection, own)
    assert kept is not None
    try:
        workers.start("archiver", "archiver")
        wait_until(lambda: bool(runs_of(workers)), WAIT_S, "a first run", workers.logs)
        first = runs_of(workers)[0]
        first.kill()
        wait_until(lambda: bool(kept.index().checkpoints), WAIT_S, "a checkpoint", workers.logs)
        assert "no checkpoints" in (tmp_path / "archiver.log").read_text(), "what ended without being asked to is said"
        wait_until(lambda: bool(runs_of(workers)), WAIT_S, "another run", workers.logs)
        (last,) = runs_of(workers)
        workers.signal("archiver", signal.SIGTERM)
        assert workers.processes["archiver"].wait(30) == 0
        assert not last.is_running() or last.status() == psutil.STATUS_ZOMBIE
    finally:
        workers.stop()


def runs_of(workers: Workers) -> list[psutil.Process]:
    children = psutil.Process(workers.processes["archiver"].pid).children()
    return [child for child in children if "checkpoint" in child.cmdline()]
