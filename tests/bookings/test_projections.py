"""Each read model shows what the facts say."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from eventlog.message import Event
from eventlog.models import Feed, Table
from eventlog.roles import Projection
from eventlog.testing import NOON, EnricherScenario, ProjectionScenario
from processors.bookings import ENRICHER
from projections import bookings
from projections.bookings import (
    CARDS,
    MATCH_ANALYTICS,
    NEWS_ALERTS,
    PLAYER_CARDS,
    PLAYERS,
    REFEREE_CARDS,
    REFEREES,
    SOCIAL_FEED,
    TEAMS,
    TV_LIVE,
)  # fmt: skip
from schemas.bookings import BookingsEvent, Player
from tests.bookings.words import HOME, T1, T2, M, R, booked, changed, ended, sent_off, started

LATER = NOON + timedelta(days=3)
MATCH = (started(), booked("a1", 14), booked("b1", 45, 2), changed("a2", "a3", 46), booked("a1", 90, 4),
         sent_off("a1", 90, 4, "SECOND_YELLOW"), ended())  # fmt: skip


def enriched(*events: BookingsEvent) -> list[Event]:
    """What an enricher makes of a match."""
    after, facts = EnricherScenario(ENRICHER), list[Event]()
    for event in events:
        after = after.when(event)
        facts += after.facts or ()
    return facts


def of(projection: Projection, *events: Event) -> ProjectionScenario:
    """The projection, with the facts that it is for."""
    return ProjectionScenario(projection).given(*(event for event in events if type(event) in projection.wanted))


def in_match(match_id: str, *events: Any) -> list[Any]:
    return [msgspec.structs.replace(event, match_id=match_id) for event in events]


def test_tv_live_shows_the_newest_line_first() -> None:
    (row,) = of(TV_LIVE, *enriched(*MATCH)).rows()
    assert row["match_id"] == M
    assert [entry["display_text"] for entry in row["entries"]] == [
        "RED CARD: Sergio Ramos (Real Madrid), 90+4'",
        "YELLOW CARD: Sergio Ramos (Real Madrid), 90+4'",
        "SUBSTITUTION: Isco for Luka Modrić (Real Madrid), 46'",
        "YELLOW CARD: Gerard Piqué (FC Barcelona), 45+2'",
        "YELLOW CARD: Sergio Ramos (Real Madrid), 14'",
    ]
    assert row["entries"][0] == {
        "version": 6, "kind": "RED_CARD", "display_text": "RED CARD: Sergio Ramos (Real Madrid), 90+4'",
        "team_id": T1, "player_id": "a1", "time": NOON,
    }  # fmt: skip


def test_tv_live_shows_ten_lines_of_each_match_for_a_day() -> None:
    assert isinstance(TV_LIVE.model, Feed)
    assert (TV_LIVE.model.limit, TV_LIVE.model.expires) == (10, timedelta(hours=24))
    events = [started(), *(booked("b2", minute) for minute in range(1, 15))]
    both = enriched(*events) + in_match("match-2", *enriched(started(), booked("a1", 3)))
    first, second = of(TV_LIVE, *both).rows()
    assert [entry["version"] for entry in first["entries"]] == list(range(15, 5, -1))
    assert [entry["version"] for entry in second["entries"]] == [2]


def test_social_feed() -> None:
    (row,) = of(SOCIAL_FEED, *enriched(*MATCH)).rows()
    assert [entry["kind"] for entry in row["entries"]] == ["RED_CARD", *["YELLOW_CARD"] * 3]
    assert row["entries"][-1] == {
        "version": 2, "kind": "YELLOW_CARD", "shortened": False, "expected_engagement": 1140, "time": NOON,
        "text": "YELLOW CARD: Sergio Ramos (Real Madrid), 14' #SergioRamos #RealMadrid",
        "hashtags": "#SergioRamos #RealMadrid",
    }  # fmt: skip


def test_news_alerts_are_what_is_urgent() -> None:
    of(NEWS_ALERTS, *enriched(*MATCH)).then_rows(
        {
            "match_id": M, "version": 6, "headline": "Sergio Ramos (Real Madrid) sent off, 90+4'", "urgency": 90,
            "priority": "urgent", "kind": "RED_CARD", "team_id": T1, "player_id": "a1", "time": NOON,
        }
    )  # fmt: skip


def test_match_analytics_has_both_teams_from_the_start() -> None:
    numbers = dict.fromkeys(set(MATCH_ANALYTICS.model.columns) - {"match_id", "team_id", "team_name"}, 0)
    of(MATCH_ANALYTICS, *enriched(started())).then_rows(
        {"match_id": M, "team_id": T2, "team_name": "FC Barcelona", **numbers},
        {"match_id": M, "team_id": T1, "team_name": "Real Madrid", **numbers},
    )


def test_match_analytics_by_quarter_of_an_hour() -> None:
    barca, real = of(MATCH_ANALYTICS, *enriched(*MATCH)).rows()
    assert {name: n for name, n in real.items() if n not in (0, M)} == {
        "team_id": T1, "team_name": "Real Madrid", "yellow_cards": 2, "red_cards": 1, "substitutions": 1,
        "cards_q1": 1, "cards_q6": 2, "substitutions_q4": 1,
    }  # fmt: skip
    assert {name: n for name, n in barca.items() if n not in (0, M)} == {
        "team_id": T2, "team_name": "FC Barcelona", "yellow_cards": 1, "cards_q3": 1,
    }  # fmt: skip


def test_player_cards_over_all_matches() -> None:
    scenario = of(PLAYER_CARDS, *enriched(*MATCH))
    moved = started(home=msgspec.structs.replace(HOME, name="Al-Nassr"))
    second = in_match("match-2", *enriched(moved, booked("a1", 5)))
    cards = [fact for fact in second if type(fact) in PLAYER_CARDS.wanted]
    scenario.given(*cards, at=LATER).then_rows(
        {"player_id": "a1", "name": "Sergio Ramos", "team_name": "Al-Nassr", "yellow_cards": 3, "red_cards": 1},
        {"player_id": "b1", "name": "Gerard Piqué", "team_id": T2, "yellow_cards": 1, "red_cards": 0, "as_of": NOON},
    )
    earlier = scenario.given(*cards, at=NOON - timedelta(days=300))
    assert earlier.rows()[0] == scenario.rows()[0] | {"yellow_cards": 3}


def test_referee_cards() -> None:
    facts = [*enriched(*MATCH), *in_match("match-2", *enriched(started(), sent_off("b3")))]
    of(REFEREE_CARDS, *facts).then_rows(
        {"referee_id": R, "name": "Mateu Lahoz", "matches": 2, "yellow_cards": 3, "red_cards": 2}
    )


def test_a_referee_without_a_match_has_no_name() -> None:
    other = msgspec.structs.replace(booked("a1"), referee_id="fourth")
    of(REFEREE_CARDS, *enriched(started(), other)).then_rows(
        {"referee_id": "fourth", "name": None, "matches": 0, "yellow_cards": 1, "red_cards": 0},
        {"referee_id": R, "name": "Mateu Lahoz", "matches": 1, "yellow_cards": 0, "red_cards": 0},
    )


def test_bookings_has_a_row_for_every_card() -> None:
    yellow = {"card": "yellow", "reason": "DISSENT", "referee_id": R, "time": NOON}
    # A scenario numbers the facts that it is given.
    of(CARDS, *MATCH).then_rows(
        {"match_id": M, "version": 1, "player_id": "a1", "team_id": T1, "minute": 14, "stoppage": 0, **yellow},
        {"version": 2, "player_id": "b1", "team_id": T2, "minute": 45, "stoppage": 2, **yellow},
        {"version": 3, "player_id": "a1", "minute": 90, "stoppage": 4, **yellow},
        {"version": 4, "player_id": "a1", "card": "red", "reason": "SECOND_YELLOW", "event_id": f"{M}:4"},
    )


@pytest.mark.parametrize("newest_last", [True, False])
def test_players_teams_and_referees_are_those_of_the_newest_match(*, newest_last: bool) -> None:
    team = msgspec.structs.replace(
        HOME, name="Real Madrid CF", players=(Player(player_id="a1", name="S. Ramos", shirt_number=4),)
    )
    renamed = msgspec.structs.replace(started(home=team), match_id="match-2")
    first, second = (NOON, LATER) if newest_last else (LATER, NOON)

    def rows(projection: Projection) -> list[Any]:
        return ProjectionScenario(projection).given(started(), at=first).given(renamed, at=second).rows()

    assert len(rows(PLAYERS)) == 6
    assert rows(PLAYERS)[0] == {
        "player_id": "a1", "name": "S. Ramos" if newest_last else "Sergio Ramos", "team_id": T1,
        "shirt_number": 4 if newest_last else 1, "as_of": LATER, "event_id": "match-2:1" if newest_last else f"{M}:1",
    }  # fmt: skip
    assert {row["team_id"]: row["name"] for row in rows(TEAMS)} == {
        T1: "Real Madrid CF" if newest_last else "Real Madrid", T2: "FC Barcelona",
    }  # fmt: skip
    assert [(row["referee_id"], row["name"], row["as_of"]) for row in rows(REFEREES)] == [(R, "Mateu Lahoz", LATER)]


def tables() -> list[Projection]:
    found = (getattr(bookings, name) for name in bookings.__all__)
    return [projection for projection in found if isinstance(projection.model, Table)]


@pytest.mark.parametrize("projection", tables(), ids=lambda p: p.model.name)
def test_a_tables_migrations_make_its_columns(projection: Projection) -> None:
    model = projection.model
    assert isinstance(model, Table)
    assert model.migrations is not None
    text = "\n".join(file.read_text() for file in sorted(model.migrations.glob("*.sql")))
    named = [line.split()[0] for line in text.splitlines() if line.startswith("    ") and "primary" not in line]
    assert named == list(model.columns)
