"""Checkpoints of the read models, made beside an archiver."""

from __future__ import annotations

import json
import secrets
import signal
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from structlog.testing import capture_logs

from deploy.checkpointing import Checkpointing
from eventlog.discovery import catalog
from eventlog.reader import LogReader
from eventlog.settings import Settings
from projections.checkpoints import checkpoints_of
from projections.finding import projection_of
from projections.marks import alone
from tests.backing import Backing
from tests.cli.conftest import Onefact
from tests.runtime.harness import Workers, wait_none_open, wait_until

MODEL = "ledger"
WAIT_S = 240
"""Runs are nice to whatever else the machine does, and get little of one that is busy."""


def with_facts(onefact: Onefact, settings: Settings) -> tuple[Settings, int]:
    """Settings of an archive of the test's own, and the offsets of the model's log."""
    opened = json.dumps({"portfolio_id": f"checked-{secrets.token_hex(4)}", "owner": "o", "currency": "USD"})
    assert onefact("send", "trading", "OpenPortfolio", opened, "--wait").code == 0
    sources = projection_of(catalog(), MODEL).sources
    wait_none_open(settings, *(source.name for source in sources))  # the markers of a transaction are offsets, too
    with LogReader(settings) as log:
        offsets = sum(end for source in sources for end in log.ends(source.name).values())
    return settings.model_copy(update={"s3": f"{settings.s3.rpartition('/')[0]}/cli-{secrets.token_hex(4)}"}), offsets


def test_why_there_are_no_checkpoints_yet_is_said(onefact: Onefact, settings: Settings) -> None:
    own, offsets = with_facts(onefact, settings)
    done = onefact("checkpoint", MODEL, "--every", str(offsets + 1), ONEFACT_S3=own.s3)
    why = f"0 checkpoints made, 0 in all, of 0 offsets of the log; {offsets:,} more wait until they are {offsets + 1:,}"
    assert (done.code, done.out) == (0, f"{MODEL}: {why}\n")
    done = onefact("checkpoint", MODEL, "--every", str(offsets), ONEFACT_S3=own.s3)
    assert f"{MODEL}: 1 checkpoints made, 1 in all, of {offsets:,} offsets of the log; 0 more wait" in done.out


@pytest.mark.timeout(900)
def test_an_archiver_has_checkpoints_made(
    onefact: Onefact, backing: Backing, settings: Settings, tmp_path: Path
) -> None:
    own, offsets = with_facts(onefact, settings)
    projection = projection_of(catalog(), MODEL)
    env = {"ONEFACT_S3": own.s3, "ONEFACT_CHECKPOINT_EVERY_S": "1", "ONEFACT_CHECKPOINT_OFFSETS": str(offsets)}
    workers = Workers(backing.env | env, tmp_path, "deploy.worker")
    kept = checkpoints_of(projection, own)
    assert kept is not None
    try:
        workers.start("archiver", "archiver")
        a_run(workers).kill()
        said = "what ended without being asked to is said"
        wait_until(lambda: "no checkpoints" in (tmp_path / "archiver.log").read_text(), WAIT_S, said, workers.logs)
        wait_until(lambda: bool(kept.index().checkpoints), WAIT_S, "a checkpoint", workers.logs)
        last = a_run(workers)
        workers.signal("archiver", signal.SIGTERM)
        assert workers.processes["archiver"].wait(60) == 0
        assert not last.is_running() or last.status() == psutil.STATUS_ZOMBIE
    finally:
        workers.stop()


def test_what_is_wrong_with_one_model_leaves_the_others_their_checkpoints(
    onefact: Onefact, backing: Backing, settings: Settings
) -> None:
    own = settings.model_copy(update={"s3": f"{settings.s3.rpartition('/')[0]}/cli-{secrets.token_hex(4)}"})
    first, *others = (projection.model for projection in catalog().projections)
    with alone(settings, first, "checkpoints"):
        done = onefact("checkpoint", "--json", "--every", "1000000", ONEFACT_S3=own.s3)
    held = f"another checkpoints of {first.name} runs; wait for it"
    assert done.code == 1, done.err
    assert f"error: {first.name}: {held}" in done.err
    failed, *rest = done.json()
    assert failed == {"model": first.name, "error": held}
    assert len(rest) > len(others) / 2, "but those that have no past"
    assert not [each for each in rest if "error" in each]
    one = onefact("checkpoint", first.name, "--every", "1000000", ONEFACT_S3=own.s3)
    assert (one.code, one.err.count("error")) == (0, 0), one.err


def test_a_run_that_cannot_be_started_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = tmp_path / "ran"
    started = Checkpointing(0.05)
    with capture_logs() as said:
        monkeypatch.setattr("deploy.checkpointing.COMMAND", (str(tmp_path / "no-program"),))
        started.start()
        try:
            wait_until(lambda: bool(said), WAIT_S, "it is said", lambda: "")
            monkeypatch.setattr("deploy.checkpointing.COMMAND", (sys.executable, "-c", f"open({str(ran)!r}, 'w')"))
            wait_until(ran.exists, WAIT_S, "another run", lambda: str(said))
        finally:
            started.stop()
    assert said[0]["event"] == "no checkpoints"
    assert "no-program" in said[0]["error"]


def a_run(workers: Workers) -> psutil.Process:
    """One that is at work."""
    found: list[psutil.Process] = []

    def look() -> bool:
        for child in psutil.Process(workers.processes["archiver"].pid).children():
            with suppress(psutil.NoSuchProcess):  # it ends by itself, too
                found.extend([child] if "checkpoint" in child.cmdline() else [])
        return bool(found)

    wait_until(look, WAIT_S, "a run", workers.logs)
    return found[0]
