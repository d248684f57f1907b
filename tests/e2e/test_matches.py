"""A sample of matches through the whole way, and every read model of it built anew, beside the live one and equal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eventlog.discovery import catalog
from eventlog.models import Feed
from eventlog.position import Position
from eventlog.reader import LogReader
from eventlog.settings import Settings
from producers.bookings import sample
from projections import Reader
from projections.replay import replay
from schemas.bookings import BOOKINGS
from tests.e2e.conftest import Cli

MODELS = [projection.model for projection in catalog().projections if projection.domain is BOOKINGS]
COUNT, SEED = 400, 41
OWN = f"match-{SEED}-"


def end_of(stack: Settings) -> Position:
    """The position after the last fact of each partition."""
    after = {}
    with LogReader(stack) as log:
        ranges = {place: (0, end) for place, end in log.ends("bookings.events").items()}
        for place, messages, _ in log.batches(ranges):
            for message in messages:
                after[place] = (message.offset() or 0) + 1
    return Position(after)


@pytest.fixture(scope="module")
def at(onefact: Cli, stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Position:
    """The sample is in the log; where that is."""
    file: Path = tmp_path_factory.mktemp("sample") / "matches.jsonl"
    file.write_text("".join(json.dumps(event, ensure_ascii=False) + "\n" for event in sample(COUNT, SEED)))
    result = onefact.json("publish", "bookings", str(file), "--wait")
    assert result["published"] == COUNT
    assert 0 < result["refused"] < COUNT / 10
    return end_of(stack)


def test_a_match_is_shown(onefact: Cli, at: Position) -> None:
    row = onefact.json("read", "tv-live", f"{OWN}00000", "--at-least", str(at))
    assert len(row["entries"]) == 10
    versions = [entry["version"] for entry in row["entries"]]
    assert versions == sorted(versions, reverse=True)
    kinds = {entry["kind"]: entry["display_text"] for entry in row["entries"]}
    assert kinds["YELLOW_CARD"].startswith("YELLOW CARD: ")
    assert "minutes" not in kinds["YELLOW_CARD"] and kinds["YELLOW_CARD"].endswith("'")
    onefact.json("read", "tv-live", "nobody", code=1)
    assert onefact.json("read", "news_alerts", f"{OWN}00000") == onefact.json("read", "news-alerts", f"{OWN}00000")


def shown(reader: Reader, model: str, at: Position) -> list[str]:
    rows: list[Any] = reader.read(model, at_least=at)
    return sorted(json.dumps(row, sort_keys=True, default=str) for row in rows)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_a_rebuilt_model_is_the_live_one(stack: Settings, at: Position, model: Any) -> None:
    with Reader(stack) as reader:
        before = shown(reader, model.name, at)
        assert any(OWN in row or "player-" in row or "team-" in row or "referee-" in row for row in before)
        result = replay(model.name, stack)
        assert (result.identical, result.switched, result.differing) == (True, True, 0)
        assert shown(reader, model.name, at) == before
        if isinstance(model, Feed):
            row = reader.read(model.name, f"{OWN}00001")
            assert row == reader.read(model.name, f"{OWN}00001", as_of=at)
