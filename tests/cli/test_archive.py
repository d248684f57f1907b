"""`onefact archive` as a person runs it, on an archive of one file."""

from __future__ import annotations

import secrets

from eventlog.archive.objects import Objects
from eventlog.archive.sink import PartitionSink
from eventlog.archive.table import Table
from eventlog.envelope import Record
from eventlog.settings import Settings
from tests.cli.conftest import Onefact

TOPIC = "trading.rejections"


def test_what_is_archived_is_shown_proved_and_asked(onefact: Onefact, settings: Settings) -> None:
    own = settings.model_copy(update={"s3": f"{settings.s3.rpartition('/')[0]}/cli-{secrets.token_hex(4)}"})
    place = {"ONEFACT_S3": own.s3}
    objects = Objects(own)
    sink = PartitionSink(objects, Table(objects, TOPIC), 0)
    sink.open(lambda: 0)
    sink.add([Record(TOPIC, 0, 10**9, 0, b"k", None, [])])  # far past what the log holds
    sink.flush()
    (first, *others) = onefact("archive", "status", TOPIC, "--json", **place).json()
    assert (first["end"], first["files"], [each["files"] for each in others]) == (10**9 + 1, 1, [0, 0, 0])
    lost = onefact("archive", "verify", TOPIC, **place)
    assert lost.code == 1
    assert f"to {10**9}: the archive has them and the log ends before" in lost.err
    assert onefact("archive", "plan", "--json", **place).json() == []
    assert "nothing frozen" in onefact("archive", "restore", f"{TOPIC}:0", **place).out
    assert onefact("archive", "restore", TOPIC, "--speed", "soon", **place).code == 2
    assert onefact("bootstrap", **place).code == 2, "it is said where from"
    nothing = onefact("bootstrap", "--from-archive", **place)
    assert nothing.code == 1
    assert "there is no archive" in nothing.err
    asked = onefact("archive", "sql", "select topic, records from archive_files", "--json", **place)
    assert asked.json() == [{"topic": TOPIC, "records": 1}]
