"""`onefact read`, `replay` and `models`, as a person and a program see them: what is printed, and the exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from typer.testing import CliRunner

from deploy.cli import app
from eventlog.codec import Codec
from eventlog.discovery import catalog
from eventlog.envelope import command_headers, event_id
from eventlog.errors import BadInput
from eventlog.position import Position
from eventlog.provision import provision
from eventlog.reader import LogReader
from eventlog.registry import Registry
from eventlog.settings import Settings
from projections import Reader
from projections.market import PRICES
from projections.replay import replay
from projections.stores import left_out
from schemas.market import MARKET_PRICES, PriceQuoted
from tests.backing import settings_as_env, until
from tests.projections.conftest import START, Shop, keep_up

ROOT = Path(__file__).parents[2]
SYMBOL = f"CLI{os.getpid()}"


@pytest.fixture(scope="module")
def quoted(settings: Settings) -> Settings:
    """Two quotes of a symbol, applied."""
    until(lambda: _provisioned(settings), "topics and schemas")
    with Registry(settings.registry) as registry, Reader(settings) as reader, LogReader(settings) as log:
        codec = Codec(registry, catalog().message_types)
        reader.store("prices").prepare([PRICES.model])
        producer = Producer({"bootstrap.servers": settings.kafka, "partitioner": "murmur2_random", "log_level": 0})
        for version, price in enumerate(("10.5", "11.25"), 1):
            quote = PriceQuoted(symbol=SYMBOL, price=Decimal(price))
            headers = command_headers(
                event_id(SYMBOL, version), "test", "PriceQuoted", SYMBOL, START.replace(day=version)
            )
            producer.produce(MARKET_PRICES.name, key=SYMBOL, value=codec.encode(quote), headers=headers)  # type: ignore[arg-type]
        assert producer.flush(30) == 0
        keep_up(Shop(settings, codec, reader), PRICES, log, 100)
    return settings


def _provisioned(settings: Settings) -> bool:
    provision(settings, catalog())
    try:
        with LogReader(settings) as log:
            return all(log.ends(topic.name) for topic in catalog().topics)
    except Exception:
        return False


def onefact(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | settings_as_env(settings)
    command = [sys.executable, "-m", "deploy.cli", *words]
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False)


def document(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_read_prints_an_object_for_a_key_and_a_list_otherwise(quoted: Settings) -> None:
    row = {"symbol": SYMBOL, "price": "11.25", "as_of": "2026-03-02T09:00:00.000000Z"}
    assert document(onefact(quoted, "read", "prices", SYMBOL, "--json")) == row
    assert row in document(onefact(quoted, "read", "prices", "--json"))
    before = document(onefact(quoted, "read", "prices", SYMBOL, "--as-of", "2026-03-01", "--json"))
    assert before["price"] == "10.5"
    assert "11.25" in onefact(quoted, "read", "prices", SYMBOL).stdout


def test_what_is_not_there_is_1_what_is_wrong_2_what_is_away_3(quoted: Settings) -> None:
    for code, said, words in (
        (1, "prices has no row NOBODY", ["read", "prices", "NOBODY"]),
        (1, "no read model 'shelves'; there are ", ["read", "shelves"]),
        (1, "no read model 'shelves'; there are ", ["replay", "shelves"]),
        (1, "prices lags: after 0.2 s", ["read", "prices", "--at-least", "market.prices:0:999999", "--timeout", "0.2"]),
        (2, "has the key symbol; 2 values", ["read", "prices", "A", "B"]),
        (2, "neither a time nor a position", ["read", "prices", "A", "--as-of", "yesterday"]),
        (2, "Missing argument", ["read"]),
    ):
        done = onefact(quoted, *words)
        assert (done.returncode, said in " ".join(done.stderr.split())) == (code, True), done.stderr
        assert "Traceback" not in done.stderr
    away = onefact(quoted.model_copy(update={"redis": "redis://127.0.0.1:1/0"}), "read", "prices", "A")
    assert away.returncode == 3
    assert away.stderr.startswith("error: redis is away")


def test_replay_switches_and_says_so(quoted: Settings) -> None:
    result = document(onefact(quoted, "replay", "prices", "--json"))
    assert (result["identical"], result["switched"]) == (True, True)
    assert result["digest_live"] == result["digest_rebuilt"]
    shown = onefact(quoted, "replay", "prices")
    assert shown.returncode == 0
    assert f"identical to the live one; switched from version {result['version']}" in shown.stdout
    beside = document(onefact(quoted, "replay", "prices", "--until", "2026-03-01", "--json"))
    assert (beside["identical"], beside["switched"]) == (None, False)
    row = document(onefact(quoted, "read", "prices", SYMBOL, "--version", str(beside["version"]), "--json"))
    assert row["price"] == "10.5"


def test_a_replay_that_differs_is_refused_with_1_and_the_key(quoted: Settings) -> None:
    with Reader(quoted) as reader:
        version = reader.store("prices").live_version(PRICES.model)
    wrong(quoted, version)
    verified = onefact(quoted, "verify", "prices")
    assert verified.returncode == 1
    assert "1 rows differ (1 changed)" in verified.stdout
    assert f"{SYMBOL} changed price 0.01 11.25" in " ".join(verified.stdout.split())
    done = onefact(quoted, "replay", "prices")
    assert done.returncode == 1
    assert f"1 rows differ from version {version}: {SYMBOL}; nothing was switched" in " ".join(done.stderr.split())
    refused = onefact(quoted, "replay", "prices", "--json")
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["differences"] == [[SYMBOL]]
    taken = onefact(quoted, "replay", "prices", "--expect-change")
    assert taken.returncode == 0
    shown, switched = taken.stdout.index("1 rows differ (1 changed):"), taken.stdout.index("switched to version")
    assert shown < switched, "the difference comes before the switch"
    result = replay("prices", quoted)
    assert result.identical
    wrong(quoted, result.version)
    taken = onefact(quoted, "replay", "prices", "--expect-change", "--json")
    assert json.loads(taken.stdout)["switched"]
    before = json.loads(taken.stderr)
    assert (before["counts"], before["sample"][0]["key"]) == ({"changed": 1}, [SYMBOL])


def wrong(settings: Settings, version: int) -> None:
    """Somebody changes a row by hand."""
    import redis

    with redis.Redis.from_url(settings.redis) as client:
        client.hset(f"onefact:prices:v{version}:row:{SYMBOL}", "price", "0.01")


def test_one_row_is_mended_and_a_version_comes_back(quoted: Settings, tmp_path: Path) -> None:
    with Reader(quoted) as reader:
        version = reader.store("prices").live_version(PRICES.model)
    import redis

    with redis.Redis.from_url(quoted.redis) as client:
        client.delete(f"onefact:prices:v{version}:row:{SYMBOL}")
    (found,) = document_of(onefact(quoted, "verify", "prices", "--json"), 1)
    assert (found["missing"], found["differences"][0]["key"]) == (1, [SYMBOL])
    mended = document(onefact(quoted, "replay", "prices", "--key", SYMBOL, "--json"))
    assert [each["key"] for each in mended["mended"]] == [[SYMBOL]]
    after = document(onefact(quoted, "replay", "prices", "--json"))
    back = onefact(quoted, "replay", "prices", "--rollback")
    assert f"version {after['previous']} of prices is live again in place of {after['version']}" in back.stdout
    path = tmp_path / "prices.parquet"
    written = document(onefact(quoted, "replay", "prices", "--into", str(path), "--key", SYMBOL, "--json"))
    assert (written["rows"], path.exists()) == (1, True)


@pytest.mark.parametrize(
    "words",
    [
        ["replay", "prices", "--rollback", "--fresh"],
        ["replay", "prices", "--key", "A", "--until", "2026-03-01"],
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_is_refused_before_anything_is_asked(words: list[str]) -> None:
    with pytest.MonkeyPatch.context() as env:
        for name in ("KAFKA", "REGISTRY", "S3", "POSTGRES", "REDIS"):
            env.setenv(f"ONEFACT_{name}", "http://127.0.0.1:1")
        done = CliRunner().invoke(app, words)
    assert done.exit_code == 2 or isinstance(done.exception, BadInput), done.output


def document_of(done: subprocess.CompletedProcess[str], code: int) -> Any:
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def test_models_tells_where_each_is(quoted: Settings) -> None:
    found = {each["name"]: each for each in document(onefact(quoted, "models", "--json"))}
    assert found.keys() == {p.model.name for p in catalog().projections if not left_out(p.model.store, quoted)}
    assert "purchases" not in found, "there is no Neo4j here"
    prices = found["prices"]
    assert (prices["store"], prices["key"], prices["lag"]) == ("redis", "symbol", 0)
    assert prices["live"] in prices["versions"]
    assert Position.parse(prices["position"]).offsets
    assert "portfolio_id/symbol" in onefact(quoted, "models").stdout


def test_help_says_what_a_key_is(quoted: Settings) -> None:
    said = " ".join(onefact(quoted, "read", "--help").stdout.split())
    assert "one word per column, or A/B" in said
