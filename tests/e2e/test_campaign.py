"""kill -9 of random workers under load: every event once, every model equal to an independent fold of the log.

`KILLS` and `COMMANDS` in the environment set its size, `SEED` repeats a run.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

from eventlog.settings import Settings
from producers.trading import sample
from projections import Reader
from tests.e2e.conftest import Cli
from tests.e2e.independent import books, facts, held
from tests.runtime.harness import seeded

KILLS = int(os.environ.get("KILLS", "6"))
COMMANDS = int(os.environ.get("COMMANDS", "40000"))
RECOVERY_S = 60


def test_kill_9_of_random_workers(onefact: Cli, stack: Settings, tmp_path: Path) -> None:
    rng = seeded()
    prefix = f"campaign-{rng.randrange(1 << 30)}"
    file = tmp_path / "commands.jsonl"
    sent = write_sample(file, rng.randrange(1 << 30), prefix)
    result: dict[str, Any] = {}
    publishing = threading.Thread(
        target=lambda: result.update(
            onefact.json("publish", "trading", str(file), "--wait", "--timeout", "120", timeout_s=900)
        )
    )
    publishing.start()
    killed: Counter[str] = Counter()
    for _ in range(KILLS):
        time.sleep(rng.uniform(0.5, 4))
        victim = rng.choice(alive(onefact))
        os.kill(victim["pid"], signal.SIGKILL)
        killed[victim["name"]] += 1
    publishing.join()
    print("killed", dict(killed), "published", result)
    assert result["published"] == len(sent)
    assert result["accepted"] + result["refused"] == len(sent)
    check_events(stack, prefix, sent, result)
    check_models(stack, prefix)


def alive(onefact: Cli) -> list[dict[str, Any]]:
    """Workers that can be killed; for a moment there may be none."""
    found: list[dict[str, Any]] = []
    while not found:
        found = [worker for worker in onefact.json("status")["workers"] if worker["pid"]]
    return found


def write_sample(file: Path, seed: int, prefix: str) -> list[str]:
    """Sample commands with ids and portfolios of this run's own."""
    ids = []
    with file.open("w") as out:
        for number, command in enumerate(sample(COMMANDS, seed)):
            command["id"] = f"{prefix}-{number}"
            command["data"]["portfolio_id"] = f"{prefix}-{command['data']['portfolio_id']}"
            ids.append(command["id"])
            out.write(json.dumps(command) + "\n")
    return ids


def check_events(stack: Settings, prefix: str, sent: list[str], result: dict[str, Any]) -> None:
    """Each command led to one event or one refusal, and never to both."""
    decided = books([f for f in facts(stack, "trading.events") if f.key.startswith(prefix)]).commands
    refused = Counter(
        f.headers["ce_causationid"] for f in facts(stack, "trading.rejections") if f.key.startswith(prefix)
    )
    assert set(decided.values()) <= {1}, "an event was doubled"
    assert set(refused.values()) <= {1}, "a refusal was doubled"
    assert decided.keys() & refused.keys() == set()
    assert decided.keys() | refused.keys() == set(sent), "a command was lost"
    assert (len(decided), len(refused)) == (result["accepted"], result["refused"])


def check_models(stack: Settings, prefix: str) -> None:
    deadline = time.monotonic() + RECOVERY_S
    while True:
        try:
            compare(stack, prefix)
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
        else:
            return


def compare(stack: Settings, prefix: str) -> None:
    """Every read model against folds that share nothing with the product."""
    events = facts(stack, "trading.events")
    enriched = facts(stack, "trading.enriched")
    expected = books(events)
    latest = {(f.key, f.type, f.data.get("symbol")): f.data for f in enriched}
    with Reader(stack) as reader:
        portfolios = {row["portfolio_id"]: row for row in reader.read("portfolio")}
        assert portfolios.keys() == expected.version.keys()
        for name, row in portfolios.items():
            assert row["cash"] == expected.cash[name]
            assert row["holdings"] == held(expected.holdings[name])
            assert row["version"] == expected.version[name]
            assert row["equity"] == latest[name, "PortfolioValueUpdated", None]["equity"]
        ledger = {(r["portfolio_id"], r["version"], r["type"]) for r in reader.read("ledger")}
        assert ledger == expected.ledger
        assert sum(r["amount"] or Decimal(0) for r in reader.read("ledger")) == sum(
            (e.data.get("amount", Decimal(0)) for e in events), Decimal(0)
        )
        positions = {
            (r["portfolio_id"], r["symbol"]): (r["quantity"], r["realised_profit"]) for r in reader.read("positions")
        }
        assert positions == {
            (key, symbol): (data["quantity"], data["realised_profit"])
            for (key, kind, symbol), data in latest.items()
            if kind == "TradeProfitCalculated"
        }
        for (key, symbol), (quantity, _) in positions.items():
            assert quantity == expected.holdings[key][str(symbol)]
        alerts = Counter(r["portfolio_id"] for r in reader.read("risk_alerts"))
        assert alerts == Counter(f.key for f in enriched if f.type == "RiskThresholdBreached")
        ranking = reader.read("leaderboard")
        assert {r["portfolio_id"]: r["equity"] for r in ranking} == {n: r["equity"] for n, r in portfolios.items()}
        assert [r["equity"] for r in ranking] == sorted((r["equity"] for r in ranking), reverse=True)
        prices = {f.key: f.data["price"] for f in facts(stack, "market.prices")}
        assert {r["symbol"]: r["price"] for r in reader.read("prices")} == prices
    valued = [f for f in enriched if f.type == "PortfolioValueUpdated" and f.key.startswith(prefix)]
    assert len(valued) == sum(v for k, v in expected.version.items() if k.startswith(prefix)), (
        "a fact was enriched twice, or never"
    )
