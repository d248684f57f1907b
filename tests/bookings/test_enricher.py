"""Who is told of what, and in which words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.testing import EnricherScenario
from processors.bookings import ENRICHER
from processors.bookings.enricher import quarter
from processors.bookings.routes import ROUTES, URGENCIES, Condition, audiences_of, holds, priority_of, urgency_of
from processors.bookings.wording import POST_LENGTH_MAX, hashtags, minute_text, post
from schemas.bookings import (
    IncidentCounted,
    MatchOpened,
    NewsAlertRaised,
    PlayerBooked,
    PlayerSentOff,
    PlayerSubstituted,
    SocialPostWritten,
    TvGraphicPrepared,
)
from tests.bookings.words import T1, T2, M, R, booked, changed, ended, sent_off, started

PLAYING = EnricherScenario(ENRICHER).given(started())


def alert(player: str, headline: str, urgency: int, priority: str, kind: str, version: int) -> NewsAlertRaised:
    return NewsAlertRaised(match_id=M, version=version, kind=kind, headline=headline, urgency=urgency,
                           priority=priority, team_id=T1 if player[0] == "a" else T2, player_id=player)  # fmt: skip


def test_a_start_is_told_to_statistics_alone() -> None:
    EnricherScenario(ENRICHER).when(started()).then(
        MatchOpened(match_id=M, competition="La Liga", home_id=T1, home_name="Real Madrid", away_id=T2,
                    away_name="FC Barcelona", referee_id=R, referee_name="Mateu Lahoz")
    )  # fmt: skip


def test_an_end_is_told_to_nobody() -> None:
    PLAYING.when(ended()).then_nothing()


def test_a_yellow_card_is_shown_posted_and_counted() -> None:
    PLAYING.when(booked("a1", 67)).then(
        TvGraphicPrepared(match_id=M, version=2, kind="YELLOW_CARD",
                          display_text="YELLOW CARD: Sergio Ramos (Real Madrid), 67'", team_id=T1, player_id="a1"),
        SocialPostWritten(match_id=M, version=2, kind="YELLOW_CARD",
                          text="YELLOW CARD: Sergio Ramos (Real Madrid), 67' #SergioRamos #RealMadrid",
                          hashtags=("#SergioRamos", "#RealMadrid"), expected_engagement=1670, shortened=False),
        IncidentCounted(match_id=M, version=2, kind="YELLOW_CARD", quarter=5, team_id=T1, team_name="Real Madrid",
                        player_id="a1", player_name="Sergio Ramos", referee_id=R),
    )  # fmt: skip


def test_a_sending_off_is_news_too() -> None:
    PLAYING.when(sent_off("b1", 45, 2)).then(
        TvGraphicPrepared(match_id=M, version=2, kind="RED_CARD",
                          display_text="RED CARD: Gerard Piqué (FC Barcelona), 45+2'", team_id=T2, player_id="b1"),
        SocialPostWritten(match_id=M, version=2, kind="RED_CARD",
                          text="RED CARD: Gerard Piqué (FC Barcelona), 45+2' #GerardPiqué #FCBarcelona",
                          hashtags=("#GerardPiqué", "#FCBarcelona"), expected_engagement=7250, shortened=False),
        IncidentCounted(match_id=M, version=2, kind="RED_CARD", quarter=3, team_id=T2, team_name="FC Barcelona",
                        player_id="b1", player_name="Gerard Piqué", referee_id=R),
        alert("b1", "Gerard Piqué (FC Barcelona) sent off, 45+2'", 90, "urgent", "RED_CARD", 2),
    )  # fmt: skip


def test_a_substitution_is_shown_and_counted() -> None:
    PLAYING.when(changed("a1", "a2", 80)).then(
        TvGraphicPrepared(match_id=M, version=2, kind="SUBSTITUTION",
                          display_text="SUBSTITUTION: Luka Modrić for Sergio Ramos (Real Madrid), 80'",
                          team_id=T1, player_id="a2"),
        IncidentCounted(match_id=M, version=2, kind="SUBSTITUTION", quarter=6, team_id=T1, team_name="Real Madrid",
                        player_id="a2", player_name="Luka Modrić", referee_id=""),
    )  # fmt: skip


def test_the_fifth_yellow_card_of_a_match_is_news_and_each_after_it() -> None:
    four = PLAYING.given(booked("a1"), changed("a1", "a2"), booked("a3"), sent_off("b1"), booked("b2"))
    four.when(booked("a2")).then_of(NewsAlertRaised)
    five = four.given(booked("a2"))
    fifth = "Pedro (FC Barcelona) booked, 90+4': yellow card 5 of the match"
    five.when(booked("b3", 90, 4)).then_of(NewsAlertRaised, alert("b3", fifth, 75, "high", "YELLOW_CARD", 8))
    sixth = "Isco (Real Madrid) booked, 67': yellow card 6 of the match"
    six = five.given(booked("b3")).when(booked("a3"))
    six.then_of(NewsAlertRaised, alert("a3", sixth, 75, "high", "YELLOW_CARD", 9))


def test_of_an_ended_match_no_names_are_remembered() -> None:
    state = PLAYING.given(booked("a1"), ended()).state
    assert (state.version, state.teams, state.players) == (3, {}, {})


@pytest.mark.parametrize(
    ("event", "yellows", "urgency", "priority"),
    [
        (PlayerSentOff, 0, 90, "urgent"),
        (PlayerBooked, 4, 50, "normal"),
        (PlayerBooked, 5, 75, "high"),
        (PlayerBooked, 12, 75, "high"),
        (PlayerSubstituted, 12, 50, "normal"),
    ],
)
def test_urgency_and_what_is_derived_from_it(event: type, yellows: int, urgency: int, priority: str) -> None:
    facts = {"match_yellows": yellows}
    assert urgency_of(event, facts) == urgency
    assert priority_of(urgency) == priority
    told = audiences_of(event, facts | {"urgency": urgency})
    assert ("news" in told) == (urgency >= 70)


def test_conditions() -> None:
    facts = {"n": 5, "kind": "x"}
    assert holds((), facts)
    assert holds((Condition("n", ">=", 5), Condition("kind", "=", "x")), facts)
    assert not holds((Condition("n", "<", 5),), facts)
    assert not holds((Condition("n", ">=", 5), Condition("kind", "=", "y")), facts)


def test_the_tables_are_data() -> None:
    named = {condition.fact for row in (*ROUTES, *URGENCIES) for condition in row.conditions}
    assert named <= {"match_yellows", "urgency"}
    assert {audience for route in ROUTES for audience in route.audiences} == {"tv", "news", "social", "statistics"}


@pytest.mark.parametrize(
    ("minute", "number"),
    [(0, 1), (1, 1), (15, 1), (16, 2), (45, 3), (46, 4), (90, 6), (91, 7), (105, 7), (120, 8), (121, 8), (150, 8)],
)
def test_quarters_of_an_hour(minute: int, number: int) -> None:
    assert quarter(minute) == number


def test_minutes_as_they_are_shown() -> None:
    assert minute_text(67, 0) == "67'"
    assert minute_text(45, 2) == "45+2'"


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("Sergio Ramos", "#SergioRamos"),
        ("Luka Modrić", "#LukaModrić"),
        ("Jose\u0301", "#José"),
        ("N'Golo Kanté", "#NGoloKanté"),
        ("Rovers & Sons", "#RoversSons"),
        ("Jean-Pierre_2", "#JeanPierre_2"),
        ("孫興慜", "#孫興慜"),
        ("ชนาธิป", "#ชนาธิป"),
        ("#Already", "#Already"),
        ("1860", None),
        ("🦁 !", None),
        ("\u0301x", "#x"),
    ],
)
def test_a_hashtag_has_what_hashtags_can_hold(name: str, tag: str | None) -> None:
    assert hashtags(name) == ((tag,) if tag else ())


def test_a_hashtag_is_there_once() -> None:
    assert hashtags("Pelé", "Pelé!") == ("#Pelé",)


@given(line=st.text(min_size=1, max_size=600), names=st.lists(st.text(max_size=200), max_size=3))
def test_a_post_is_never_too_long_and_says_what_it_lacks(line: str, names: list[str]) -> None:
    tags = hashtags(*names)
    text, shortened = post(line, tags)
    assert len(text) <= POST_LENGTH_MAX == 280
    whole = " ".join((line, *tags))
    assert shortened == (text != whole)
    assert shortened == (len(whole) > 280)
    assert text.startswith(line) or (len(text) == 280 and text[-1] == "…" and line.startswith(text[:-1]))
    assert all(tag[0] == "#" and len(tag) > 1 and not set(tag) & set(" '&-.") for tag in tags)


def test_a_post_with_room_for_some_of_its_hashtags() -> None:
    assert post("x" * 270, ("#" + "a" * 20, "#bcdefghi")) == ("x" * 270 + " #bcdefghi", True)
    assert post("x" * 281, ("#a",)) == ("x" * 279 + "…", True)
    assert post("x" * 280, ()) == ("x" * 280, False)
