"""The first example anybody tries: deposit, buy, buy, sell, and look."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from tests.e2e.conftest import Cli
from tests.runtime.harness import wait_until

COMMANDS = [
    ("OpenPortfolio", '{"owner": "ada", "currency": "USD", "margin": false}', None),
    ("DepositCash", '{"amount": "10000"}', "10000"),
    ("BuyStock", '{"symbol": "AAPL", "quantity": "10", "price": "175"}', "8250"),
    ("BuyStock", '{"symbol": "NVDA", "quantity": 5, "price": 950}', "3500"),
    ("SellStock", '{"symbol": "AAPL", "quantity": "3", "price": "180"}', "4040"),
]


@pytest.fixture(scope="module")
def portfolio(onefact: Cli) -> str:
    """A portfolio with the essay's trades; after each, its cash is read at the position that the command returned."""
    name = f"essay-{uuid.uuid4().hex[:6]}"
    for number, (kind, rest, cash) in enumerate(COMMANDS, 1):
        data = '{"portfolio_id": "%s", ' % name + rest[1:]
        outcome = onefact.json("send", "trading", kind, data, "--wait", "--id", f"{name}/{number}")
        assert (outcome["stream"], outcome["version"]) == (name, number)
        if cash is not None:
            row = onefact.json("read", "portfolio", name, "--at-least", outcome["position"])
            assert (row["cash"], row["version"]) == (cash, number)
    return name


def test_cash_and_shares(onefact: Cli, portfolio: str) -> None:
    row = onefact.json("read", "portfolio", portfolio)
    assert row["cash"] == "4040"
    assert row["holdings"] == {"AAPL": "7", "NVDA": "5"}
    assert row["portfolio_id"] == portfolio


def test_every_model_shows_it(onefact: Cli, portfolio: str) -> None:
    again = onefact.json(
        "send", "trading", COMMANDS[-1][0],
        '{"portfolio_id": "%s", ' % portfolio + COMMANDS[-1][1][1:], "--wait", "--id", f"{portfolio}/5",
    )  # fmt: skip
    assert again["version"] == 5, "a repeated command is answered with its first outcome"
    at = again["position"]
    portfolio_row = onefact.json("read", "portfolio", portfolio, "--at-least", at)
    positions = onefact.json("read", "positions", portfolio, "--at-least", at)
    found = {(p["symbol"], p["quantity"], p["average_cost"]) for p in positions}
    assert found == {("AAPL", "7", "175"), ("NVDA", "5", "950")}
    assert {p["symbol"]: p["realised_profit"] for p in positions}["AAPL"] == "15"
    assert len(onefact.json("read", "ledger", portfolio, "--at-least", at)) == 5
    ranking = onefact.json("read", "leaderboard", "--at-least", at)
    assert portfolio_row["equity"] == {r["portfolio_id"]: r["equity"] for r in ranking}[portfolio]
    assert {a["kind"] for a in onefact.json("read", "risk_alerts", portfolio, "--at-least", at)} == {"concentration"}
    assert [f["type"] for f in onefact.json("history", portfolio) if f["type"] in dict(EVENTS)] == [
        t for t, _ in EVENTS
    ]


EVENTS = [
    ("PortfolioOpened", 1), ("CashDeposited", 2), ("StockBought", 3), ("StockBought", 4), ("StockSold", 5),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "data", "code"),
    [
        ("BuyStock", '{"symbol": "NVDA", "quantity": "1000", "price": "950"}', "insufficient_cash"),
        ("SellStock", '{"symbol": "AAPL", "quantity": "8", "price": "1"}', "insufficient_shares"),
        ("BuyStock", '{"symbol": "AAPL", "quantity": "0", "price": "1"}', "not_positive"),
        ("BuyStock", '{"symbol": "AAPL", "quantity": "NaN", "price": "1"}', "not_a_number"),
        ("DepositCash", '{"amount": "Infinity"}', "not_a_number"),
        ("DepositCash", '{"amount": "%s"}' % ("9" * 39), "too_many_digits"),
        ("OpenPortfolio", '{"owner": "ada", "currency": "USD", "margin": false}', "already_open"),
    ],
)
def test_refusals(onefact: Cli, portfolio: str, kind: str, data: str, code: str) -> None:
    data = '{"portfolio_id": "%s", ' % portfolio + data[1:]
    outcome = onefact.json("send", "trading", kind, data, "--wait", code=1)
    assert outcome["code"] == code
    assert outcome["reason"]


def test_unknown_portfolio(onefact: Cli) -> None:
    outcome = onefact.json(
        "send", "trading", "DepositCash", '{"portfolio_id": "nobody", "amount": "1"}', "--wait", code=1
    )
    assert outcome["code"] == "unknown_portfolio"


def rows(onefact: Cli, model: str) -> list[str]:
    """A model's rows; hashes come in no order."""
    return sorted(json.dumps(row, sort_keys=True) for row in onefact.json("read", model))


def behind(onefact: Cli) -> list[Any]:
    """What roles of trading and market have still to read."""
    return [row for row in onefact.json("lag") if row["lag"] and row["role"].startswith(("trading.", "market."))]


def test_replay_is_identical(onefact: Cli, portfolio: str) -> None:
    # Of what others have published before some may still be under way to the models.
    wait_until(lambda: not behind(onefact), 200, "everything applied", lambda: str(behind(onefact)))
    for model in ("portfolio", "positions", "ledger", "leaderboard", "risk_alerts", "prices"):
        before = rows(onefact, model)
        result = onefact.json("replay", model)
        assert result["identical"] is True
        assert result["switched"] is True
        assert rows(onefact, model) == before
    assert onefact.json("read", "portfolio", portfolio)["cash"] == "4040"


def test_as_of(onefact: Cli, portfolio: str) -> None:
    facts = [f for f in onefact.json("history", portfolio) if f["type"] in dict(EVENTS)]
    cash = [onefact.json("read", "portfolio", portfolio, "--as-of", fact["time"])["cash"] for fact in facts]
    assert cash[1:] == [c for _, _, c in COMMANDS[1:]]
