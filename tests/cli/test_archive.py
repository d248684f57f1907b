"""`onefact archive` as a person runs it, on an archive of one file."""

from __future__ import annotations

import secrets
from decimal import Decimal
from pathlib import Path

from deploy.cli.archive._tiers import teller
from eventlog.archive.objects import Objects
from eventlog.archive.sink import PartitionSink
from eventlog.archive.table import Table
from eventlog.envelope import Record
from eventlog.partition import partition_of
from eventlog.reader import LogReader, to_record
from eventlog.settings import Settings
from eventlog.upkeep.tiers import Move
from producers import Publisher
from schemas.market import MARKET_PRICES, PriceQuoted
from tests.cli.conftest import Onefact

PRICES, SYMBOL = MARKET_PRICES.name, "CLI"

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


def test_from_a_run_to_the_frozen_tier_and_back(onefact: Onefact, settings: Settings, tmp_path: Path) -> None:
    own = settings.model_copy(update={"s3": f"{settings.s3.rpartition('/')[0]}/cli-{secrets.token_hex(4)}"})
    place = {"ONEFACT_S3": own.s3, "ONEFACT_ARCHIVE_LOOK_S": "0.1"}
    number = partition_of(SYMBOL.encode(), MARKET_PRICES.partitions)
    with Publisher(settings) as publisher, LogReader(settings) as log:
        for _ in range(2):
            publisher.send(PriceQuoted(symbol=SYMBOL, price=Decimal(1)))
        publisher.flush()
        ranges = {(PRICES, number): log.log_bounds(PRICES, number)}
        records = [to_record(message) for _, messages, _ in log.batches(ranges) for message in messages]
    objects = Objects(own)
    sink = PartitionSink(objects, Table(objects, PRICES), number)
    sink.open(lambda: records[0].offset)
    sink.add(records[:-1])
    sink.flush()
    ended = onefact("archive", "run", "--until-now", **place)
    assert ended.code == 0, ended.err
    before = onefact("archive", "status", PRICES, "--json", **place).json()[number]
    policy = tmp_path / "policy.yaml"
    policy.write_text(f"topics: {{{PRICES}: {{freeze_after: 0h}}}}\nfrozen_class: SIMULATED\n")
    assert onefact("archive", "compact", PRICES, "--policy", str(tmp_path / "none"), **place).code == 2
    moves = onefact("archive", "compact", PRICES, "--policy", str(policy), "--json", **place).json()
    (move,) = (each for each in moves if each["partition"] == number)
    assert (move["source"], move["target"], move["files"], len(move["digest"])) == ("warm", "cold", before["files"], 64)
    assert onefact("archive", "verify", PRICES, **place).code == 0
    moves = onefact("archive", "tier", "--policy", str(policy), "--json", **place).json()
    (move,) = (each for each in moves if each["partition"] == number)
    assert (move["source"], move["target"]) == ("cold", "frozen")
    shown = onefact("archive", "status", PRICES, **place).out
    assert all(tier in shown for tier in ("warm", "cold", "frozen"))
    assert f"{move['bytes_after']:,}" in shown
    where = f"{PRICES}:{number}"
    frozen = onefact("archive", "restore", where, "--state", "--json", **place).json()
    assert frozen["states"] == {"frozen": 1}
    restored = onefact("archive", "restore", where, "--wait", "--speed", "Expedited", "--json", **place).json()
    assert (restored["states"], restored["bytes"]) == ({"readable": 1}, move["bytes_after"])
    with Publisher(settings) as publisher:  # as a tool does that was killed after it had told
        teller(publisher)(Move(**move))
    facts = onefact("history", where, "--domain", "archive", "--json", **place).json()
    assert [fact["data"]["target"] for fact in facts] == ["cold", "frozen"], "told twice, and shown once"
