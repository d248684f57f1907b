"""`publish`, `send` and `history`, held to what they print."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from producers.trading import sample
from tests.cli.conftest import Onefact


def event(kind: str, data: dict[str, Any], **more: Any) -> bytes:
    made = {"specversion": "1.0", "type": kind, "id": uuid4().hex, "source": "tests", "data": data} | more
    return json.dumps(made).encode() + b"\n"


def opened(name: str, deposits: int = 0) -> list[bytes]:
    first = event("OpenPortfolio", {"portfolio_id": name, "owner": "o", "currency": "USD"})
    return [first, *(event("DepositCash", {"portfolio_id": name, "amount": n + 1}) for n in range(deposits))]


def lines(events: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in events)


def test_the_example_of_the_essay(onefact: Onefact) -> None:
    name = uuid4().hex
    steps = [
        ("OpenPortfolio", {"owner": "o", "currency": "USD"}),
        ("DepositCash", {"amount": 10000}),
        ("BuyStock", {"symbol": "AAPL", "quantity": 10, "price": 175}),
        ("BuyStock", {"symbol": "NVDA", "quantity": 5, "price": "950"}),
        ("SellStock", {"symbol": "AAPL", "quantity": 3, "price": 180.00}),
    ]
    for version, (kind, data) in enumerate(steps, start=1):
        done = onefact("send", "trading", kind, json.dumps({"portfolio_id": name, **data}), "--wait", "--json")
        outcome = done.json()
        assert done.code == 0
        assert list(outcome) == ["id", "outcome", "stream", "version", "position"]
        assert (outcome["outcome"], outcome["stream"], outcome["version"]) == ("accepted", name, version)
        assert outcome["position"].startswith("trading.events:")
    done = onefact("send", "trading", "BuyStock", json.dumps({"portfolio_id": name, **steps[3][1]}), "--wait", "--json")
    assert done.code == 1
    assert {key: done.json()[key] for key in ("outcome", "code")} == {"outcome": "refused", "code": "insufficient_cash"}

    facts = onefact("history", name, "--json").json()
    assert [(f["version"], f["type"]) for f in facts] == [
        (1, "PortfolioOpened"), (2, "CashDeposited"), (3, "StockBought"), (4, "StockBought"), (5, "StockSold"),
    ]  # fmt: skip
    assert [f["data"].get("amount") for f in facts[1:]] == ["10000", "1750", "4750", "540"]
    assert facts[-1]["position"] == outcome["position"]
    assert all(fact["stream"] == name for fact in facts)
    assert {fact["code"] for fact in facts} == {"1"}
    everything = onefact("history", name, "--all", "--domain", "trading", "--json").json()
    assert [f["type"] for f in everything if f["topic"] == "trading.rejections"] == ["CommandRejected"]


def test_a_person_reads_the_same(onefact: Onefact) -> None:
    name = uuid4().hex
    data = json.dumps({"portfolio_id": name, "owner": "[bold]o", "currency": "USD"})
    done = onefact("send", "trading", "OpenPortfolio", data, "--id", "mine", "--wait")
    assert done.out.startswith(f"mine\naccepted: stream {name}, version 1, position trading.events:")
    assert onefact("send", "trading", "OpenPortfolio", data, "--id", "mine").out == "mine\n"
    done = onefact("send", "trading", "OpenPortfolio", data, "--id", "other", "--wait")
    assert (done.code, done.out.splitlines()[1].startswith("refused: already_open: ")) == (1, True), done
    assert "owner [bold]o" in onefact("history", name).out


def test_a_time_of_the_client_is_the_facts(onefact: Onefact) -> None:
    name = uuid4().hex
    data = json.dumps({"portfolio_id": name, "owner": "o", "currency": "USD"})
    onefact("send", "trading", "OpenPortfolio", data, "--time", "2004-05-06T07:08:09+02:00", "--wait")
    assert onefact("history", name, "--json").json()[0]["time"] == "2004-05-06T05:08:09.000000Z"


def test_a_stream_without_facts_is_exit_code_1(onefact: Onefact) -> None:
    done = onefact("history", uuid4().hex)
    assert (done.code, done.out, "there is no fact of a stream" in done.err) == (1, "", True)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("stdin", [False, True])
def test_every_line_of_a_file_is_decided(onefact: Onefact, tmp_path: Path, *, packed: bool, stdin: bool) -> None:
    content = lines(sample(2000, int(uuid4().int % 10**9)))
    content = gzip.compress(content) if packed else content
    file = tmp_path / "sample"
    file.write_bytes(content)
    done = onefact(
        "publish", "trading", "-" if stdin else str(file), "--wait", "--json", stdin=content if stdin else b""
    )
    assert done.code == 0, done
    found = done.json()
    assert list(found) == ["published", "accepted", "refused", "seconds"]
    assert found["published"] == found["accepted"] + found["refused"] == 2000
    assert 0 < found["refused"] < 200
    assert done.err == ""


def test_without_waiting_it_is_delivered(onefact: Onefact) -> None:
    name = uuid4().hex
    done = onefact("publish", "trading", "-", "--json", stdin=b"\n".join(opened(name, 3)) + b"\n\n")
    assert (done.code, done.json()["published"], list(done.json())) == (0, 4, ["published", "seconds"])


def test_a_bad_line_stops_it_and_it_goes_on_from_there(onefact: Onefact, tmp_path: Path) -> None:
    name = uuid4().hex
    good = opened(name, 4)
    bad = event("DepositCash", {"portfolio_id": name, "amount": True})
    file = tmp_path / "some.jsonl"
    file.write_bytes(b"".join([*good[:3], bad, *good[3:]]))
    done = onefact("publish", "trading", str(file), "--wait")
    assert done.code == 2
    assert f"{file}: line 4: data of DepositCash: Expected a number" in done.err
    assert "its fields are portfolio_id, amount" in done.err
    assert "3 were published" in done.err
    assert "--from-line 4" in done.err
    file.write_bytes(b"".join([*good[:3], good[3], *good[3:]]))
    done = onefact("publish", "trading", str(file), "--from-line", "4", "--wait", "--json")
    assert done.json()["published"] == 3  # one id twice among them
    assert [f["version"] for f in onefact("history", name, "--json").json()] == [1, 2, 3, 4, 5]


def test_publishing_again_decides_nothing_twice(onefact: Onefact) -> None:
    name = uuid4().hex
    content = b"".join(opened(name, 20))
    first = onefact("publish", "trading", "-", "--wait", "--json", stdin=content).json()
    second = onefact("publish", "trading", "-", "--wait", "--json", stdin=content).json()
    assert (first["accepted"], second["accepted"], second["refused"]) == (21, 21, 0)
    assert len(onefact("history", name, "--json").json()) == 21


def test_digits_and_what_is_no_number_reach_the_decider_as_written(onefact: Onefact) -> None:
    name = uuid4().hex
    written = [
        "0.100000000001",
        "12345678901234567890123456.123456789012",
        "1e3",
        "NaN",
        "-Infinity",
        "0.1000000000001",
    ]
    raw = b"".join(
        event("DepositCash", {"portfolio_id": name, "amount": "@"}).replace(b'"@"', each.encode()) for each in written
    )
    done = onefact("publish", "trading", "-", "--wait", "--json", stdin=opened(name)[0] + raw)
    assert {key: done.json()[key] for key in ("accepted", "refused")} == {"accepted": 4, "refused": 3}
    facts = onefact("history", name, "--all", "--json").json()
    amounts = [f["data"]["amount"] for f in facts if f["type"] == "CashDeposited"]
    assert amounts == ["0.100000000001", "12345678901234567890123456.123456789012", "1000"]
    codes = [f["data"]["code"] for f in facts if f["type"] == "CommandRejected"]
    assert codes == ["not_a_number", "not_a_number", "too_many_digits"]


def test_quotes_are_facts_at_once(onefact: Onefact) -> None:
    symbol = uuid4().hex
    quotes = b"".join(event("PriceQuoted", {"symbol": symbol, "price": price}) for price in (1.25, "2.50"))
    done = onefact("publish", "market", "-", "--wait", "--json", stdin=quotes)
    assert {key: done.json()[key] for key in ("published", "accepted", "refused")} == {
        "published": 2, "accepted": 2, "refused": 0,
    }  # fmt: skip
    facts = onefact("history", symbol, "--json").json()
    assert [f["data"]["price"] for f in facts] == ["1.25", "2.5"]
    wrong = event("PriceQuoted", {"symbol": symbol, "price": "NaN"})
    assert onefact("publish", "market", "-", stdin=wrong).code == 2


def test_no_outcome_is_exit_code_3(onefact: Onefact) -> None:
    done = onefact("publish", "trading", "-", "--wait", "--timeout", "0.1", stdin=lines(sample(20_000, 99)))
    if done.code != 0:  # a decider may be that quick
        assert (done.code, "onefact status" in done.err) == (3, True)


def test_a_packed_file_that_breaks_off_is_said(onefact: Onefact, tmp_path: Path) -> None:
    file = tmp_path / "broken.jsonl.gz"
    file.write_bytes(gzip.compress(b"".join(opened(uuid4().hex, 500)))[:-40])
    done = onefact("publish", "trading", str(file))
    assert (done.code, "cannot be read" in done.err, "Traceback" in done.err) == (2, True, False)


def test_topics_schemas_and_lag(onefact: Onefact) -> None:
    topics = {t["name"]: t for t in onefact("topics", "--json").json()}
    assert topics["trading.events"]["types"][0] == "PortfolioOpened"
    assert all(t["exists"] for t in topics.values())
    assert topics["market.prices"]["compacted"]
    schemas = {s["subject"]: s for s in onefact("schemas", "--json").json()}
    assert all(schemas[f"onefact.trading.{t}"]["version"] == 1 for t in topics["trading.events"]["types"])
    assert "onefact.trading.StockBought" in onefact("schemas").out
    assert "trading.commands.dead" in onefact("topics").out
