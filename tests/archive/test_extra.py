"""Without the archive's libraries there is a sentence that says so, and no trace."""

from __future__ import annotations

import sys

import pytest

from deploy.cli import main
from eventlog.archive.objects import LIBRARIES, ExtraMissing, Objects, require_extra
from eventlog.reader import past_of
from eventlog.roles import Catalog
from eventlog.settings import Settings
from eventlog.upkeep.sql import query

SETTINGS = Settings(s3="http://key:secret@127.0.0.1:1/bucket")


def hide(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """As where they are not installed: found by nobody, imported by nobody."""
    for name in names:
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.parametrize("name", LIBRARIES)
def test_whoever_wants_the_archive_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    require_extra("duckdb")
    hide(monkeypatch, name)
    with pytest.raises(ExtraMissing, match=rf"missing \({name}\): pip install 'onefact\[archive\]'"):
        Objects(SETTINGS)


def test_sql_takes_one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = Objects(SETTINGS)
    hide(monkeypatch, "duckdb")
    with pytest.raises(ExtraMissing, match="duckdb"):
        query(objects, Catalog(()), "select 1")


def test_a_reader_of_the_log_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    assert past_of(SETTINGS) is not None
    hide(monkeypatch, *LIBRARIES)
    assert past_of(SETTINGS) is None


WORDS = (
    ["verify"],
    ["status"],
    ["compact"],
    ["sql", "select 1"],
    ["restore", "trading.events:0"],
    ["run", "--until-now"],
)


@pytest.mark.parametrize("words", WORDS)
def test_the_program_says_it_in_a_line(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hide(monkeypatch, *LIBRARIES, "duckdb")
    monkeypatch.setenv("ONEFACT_S3", SETTINGS.s3)
    monkeypatch.setenv("ONEFACT_KAFKA", "127.0.0.1:1")
    monkeypatch.setenv("ONEFACT_REGISTRY", "http://127.0.0.1:1")
    monkeypatch.setattr(sys, "argv", ["onefact", "archive", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("error: the archive's libraries are missing (")
    assert said.count("\n") == 1
