"""470 real matches through the whole way: facts, refusals, and what each audience is shown."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from typing import Any

import pytest

from eventlog.position import Position
from eventlog.settings import Settings
from projections import Reader
from tests.e2e.conftest import Cli
from tests.e2e.test_matches import end_of
from tests.real import MATCHES, needs

STORMY = "M-2002-35"

pytestmark = needs(MATCHES)


def commands() -> list[Any]:
    with gzip.open(MATCHES, "rt") as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def at(onefact: Cli, stack: Settings) -> Position:
    """All matches are in the log; the position after the last fact of each partition."""
    result = onefact.json("publish", "bookings", str(MATCHES), "--wait")
    assert (result["published"], result["accepted"], result["refused"]) == (4219, 4214, 5)
    return end_of(stack)


def rows(reader: Reader, model: str, at: Position, prefix: str) -> list[Any]:
    """Rows of these matches, players or referees; others may be there too."""
    key = reader.model(model).key[0]
    return [row for row in reader.read(model, at_least=at) if row[key].startswith(prefix)]


def test_every_card_and_substitution_is_counted_once(stack: Settings, at: Position) -> None:
    with Reader(stack) as reader:
        cards = Counter(row["card"] for row in rows(reader, "bookings", at, "M-"))
        analytics = rows(reader, "match-analytics", at, "M-")
        players, referees = rows(reader, "player-cards", at, "P-"), rows(reader, "referee-cards", at, "R-")
    assert cards == {"yellow": 1339, "red": 92}
    assert len(analytics) == 940
    for found in (analytics, players, referees):
        assert sum(row["yellow_cards"] for row in found) == 1339
        assert sum(row["red_cards"] for row in found) == 92
    assert sum(row["substitutions"] for row in analytics) == 1843
    quarters = [(row[f"cards_q{q}"], row[f"substitutions_q{q}"]) for row in analytics for q in range(1, 9)]
    assert (sum(c for c, _ in quarters), sum(s for _, s in quarters)) == (1339 + 92, 1843)
    assert sum(row["matches"] for row in referees) == 470


def test_everybody_is_named_as_in_their_newest_match(stack: Settings, at: Position) -> None:
    newest: dict[str, tuple[str, str]] = {}
    for command in commands():
        if command["type"] == "StartMatch":
            for team in (command["data"]["home"], command["data"]["away"]):
                for player in team["players"]:
                    seen = (command["time"], player["name"])
                    newest[player["player_id"]] = max(seen, newest.get(player["player_id"], seen))
    with Reader(stack) as reader:
        found = {row["player_id"]: row["name"] for row in rows(reader, "players", at, "P-")}
        assert len(rows(reader, "referees", at, "R-")) == len({m["data"]["referee"]["referee_id"] for m in starts()})
    assert found == {player: name for player, (_, name) in newest.items()}


def starts() -> list[Any]:
    return [command for command in commands() if command["type"] == "StartMatch"]


def test_what_the_audiences_are_shown_of_a_match(stack: Settings, at: Position) -> None:
    own = [c for c in commands() if c["data"]["match_id"] == STORMY]
    happened = [c for c in own if c["type"].startswith("Record")]
    with Reader(stack) as reader:
        live = reader.read("tv-live", STORMY, at_least=at)
        posts = reader.read("social-feed", STORMY, at_least=at)
        alerts = rows(reader, "news-alerts", at, STORMY)
        assert isinstance(live, dict)
        assert isinstance(posts, dict)
    assert len(live["entries"]) == min(10, len(happened))
    assert [e["version"] for e in live["entries"]] == sorted((e["version"] for e in live["entries"]), reverse=True)
    names = {p["player_id"]: p["name"] for t in ("home", "away") for p in own[0]["data"][t]["players"]}
    teams = {own[0]["data"][t]["team_id"]: own[0]["data"][t]["name"] for t in ("home", "away")}
    cards = [c["data"] for c in happened if "Card" in c["type"]]
    assert [e["text"].rpartition(")")[0] for e in reversed(posts["entries"])] == [
        f"{'RED' if 'reason' in card else 'YELLOW'} CARD: {names[card['player_id']]} ({teams[card['team_id']]}"
        for card in cards
    ]
    yellows = [card for card in cards if "foul_type" in card]
    assert len(alerts) == len(cards) - len(yellows) + max(0, len(yellows) - 4)
    assert {alert["urgency"] for alert in alerts} <= {75, 90}


def test_as_of_the_end_of_a_tournament(stack: Settings, at: Position) -> None:
    with Reader(stack) as reader:
        then = reader.read("tv-live", STORMY, as_of=at)
        assert then == reader.read("tv-live", STORMY)
        assert reader.read("tv-live", STORMY, as_of="1990-01-01") is None
        cards = [row for row in reader.read("bookings", as_of="1990-12-31") if row["match_id"].startswith("M-")]
    expected = [c for c in commands() if "Card" in c["type"] and c["time"] < "1991"]
    refused = [c for c in expected if c["data"]["match_id"] == "M-1974-18" and c["data"]["player_id"] == "P-74389"]
    assert len(cards) == len(expected) - len([c for c in refused if c["data"]["minute"] == 70])
