"""What holds for every command: help, JSON, exit codes, and never a trace."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from deploy.cli import app
from tests.cli.conftest import Onefact


def commands() -> list[tuple[str, ...]]:
    group = typer.main.get_command(app)
    found = []
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        found += [(name, each) for each in inner] if inner else [(name,)]
    return found


OWN = [words for words in commands() if words[0] not in ("read", "replay", "models")]


@pytest.mark.parametrize("words", OWN, ids=" ".join)
def test_every_command_has_an_example_and_speaks_json(words: tuple[str, ...], nowhere: Onefact) -> None:
    done = nowhere(*words, "--help", COLUMNS="200")
    assert done.code == 0
    assert f"Example: onefact {' '.join(words)}" in done.out
    assert ("--json" in done.out) == (words not in (("worker",), ("archive", "run")))


def test_the_issue_names_these_commands() -> None:
    words = {words[0] for words in commands()}
    assert words == {
        *("up", "down", "status", "publish", "send", "history", "read", "replay"),
        *("topics", "schemas", "models", "lag", "worker", "dead", "sagas", "archive", "bought-together"),
        *("recommend", "similar", "bootstrap", "checkpoint", "verify"),
    }


def test_help_is_quick_because_no_client_is_imported_for_it() -> None:
    script = "import sys, deploy.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    heavy = {
        "confluent_kafka",
        "pydantic_settings",
        "fastavro",
        "faust",
        "aiokafka",
        "psycopg",
        "redis",
        "neo4j",
        "httpx",
        "producers",
        "pyarrow",
        "deltalake",
        "duckdb",
        "boto3",
    }
    assert not heavy & set(done.stdout.split())


@pytest.mark.parametrize(
    "words",
    [
        ("send", "trading", "DepositCash", '{"portfolio_id": "p", "amount": 1}'),
        ("history", "p"),
        ("topics",),
        ("schemas",),
        ("lag",),
        ("dead", "list"),
        ("worker",),
    ],
    ids=" ".join,
)
def test_services_that_are_away_are_exit_code_3_in_one_line(words: tuple[str, ...], nowhere: Onefact) -> None:
    done = nowhere(*words)
    assert done.code == 3
    assert done.err.startswith("error: ")
    assert "is away: its address is not known; run `onefact up`, or set ONEFACT_" in done.err
    assert done.err.count("\n") == 1
    assert done.out == ""


def test_an_error_is_a_document_too(nowhere: Onefact) -> None:
    done = nowhere("topics", "--json")
    assert done.code == 3
    assert list(done.json()) == ["error"]
    assert done.err.startswith("error: kafka is away")


@pytest.mark.parametrize(
    "words, said",
    [
        (("send", "chess", "Move", "{}"), "there is no domain 'chess'; there are "),
        (("send", "trading", "Buy", "{}"), "known are OpenPortfolio, DepositCash, WithdrawCash, BuyStock, SellStock"),
        (("send", "trading", "DepositCash", "{"), "not JSON"),
        (("send", "trading", "DepositCash", "{}"), "its fields are portfolio_id, amount"),
        (("send", "trading", "DepositCash", '{"portfolio_id":"p","amount":1}', "--time", "noon"), "--time 'noon'"),
        (("schemas", "--check", "--write"), "not both"),
        (("dead", "retry"), "name one dead letter, or give --all"),
        (("worker", "trading.accountant"), "trading.accountant"),
    ],
)
def test_what_cannot_be_used_is_exit_code_2(words: tuple[str, ...], said: str, nowhere: Onefact) -> None:
    done = nowhere(*words, ONEFACT_KAFKA="127.0.0.1:1", ONEFACT_REGISTRY="http://127.0.0.1:1")
    assert (done.code, said in done.err) == (2, True), done
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    "name, value, said",
    [("CUT_EVERY_S", "3", "0 for never, or at least 5 seconds"), ("PORT_BASE", "high", "a valid integer")],
)
def test_a_setting_that_cannot_be_is_named(name: str, value: str, said: str, nowhere: Onefact) -> None:
    done = nowhere("models", **{f"ONEFACT_{name}": value})
    assert (done.code, said in done.err) == (2, True), done
    assert done.err.startswith(f"error: ONEFACT_{name}={value}: ")


def test_usage_is_exit_code_2(nowhere: Onefact) -> None:
    assert nowhere("publish").code == 2
    assert nowhere("no-such-command").code == 2


def test_nothing_up_is_a_status_too(nowhere: Onefact) -> None:
    assert nowhere("status", "--json").json() == {"stack": "embedded", "services": {}, "workers": []}
    assert "start it with `onefact up`" in nowhere("status").out
    assert nowhere("down").code == 0


def test_a_reader_that_has_seen_enough_is_no_error(nowhere: Onefact) -> None:
    shell = f"{sys.executable} -m deploy.cli schemas --check --json | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", shell], env=os.environ | nowhere.env, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr


def test_schemas_are_checked_and_written(nowhere: Onefact) -> None:
    done = nowhere("schemas", "--check", "--json")
    assert (done.code, done.json()) == (0, {"drift": []})


def test_a_file_that_is_not_there_is_exit_code_1(nowhere: Onefact, tmp_path: Path) -> None:
    done = nowhere("publish", "trading", str(tmp_path / "none.jsonl"))
    assert (done.code, "there is no file" in done.err) == (1, True)
