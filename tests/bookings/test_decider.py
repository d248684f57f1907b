"""Each command: what it leads to, and each reason for which it is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.errors import Refused
from eventlog.message import Command
from eventlog.testing import NOON, Scenario
from processors.bookings import DECIDER
from processors.bookings.decider import PLAYERS_MAX
from schemas.bookings import Player, PlayerBooked, PlayerSentOff, Referee, Team
from tests.bookings.words import (
    AWAY,
    HOME,
    NAMES,
    T1,
    T2,
    M,
    booked,
    change,
    changed,
    end,
    ended,
    red,
    sent_off,
    start,
    started,
    team_of,
    yellow,
)  # fmt: skip
from tests.laws.values import messages

PLAYING = Scenario(DECIDER).given(started())


def test_a_match_starts() -> None:
    Scenario(DECIDER).when(start()).then(started())


@pytest.mark.parametrize("history", [[started()], [started(), booked("a1")], [started(), ended()]])
def test_a_match_starts_once(history: list[Any]) -> None:
    Scenario(DECIDER).given(*history).when(start()).then_refused("already_started")


def test_a_match_ends() -> None:
    PLAYING.when(end()).then(ended())


def test_a_match_ends_once() -> None:
    PLAYING.given(ended()).when(end()).then_refused("already_ended")
    Scenario(DECIDER).when(end()).then_refused("match_not_in_progress")


@pytest.mark.parametrize("command", [yellow("a1"), red("a1"), change("a1", "a2")], ids=lambda c: type(c).__name__)
def test_nothing_is_recorded_of_a_match_that_is_not_in_progress(command: Command) -> None:
    Scenario(DECIDER).when(command).then_refused("match_not_in_progress")
    PLAYING.given(ended()).when(command).then_refused("match_not_in_progress")


def test_a_yellow_card() -> None:
    PLAYING.when(yellow("a1", 45, 2)).then(booked("a1", 45, 2))


def test_a_second_yellow_card_sends_the_player_off() -> None:
    after = PLAYING.given(booked("a1", 30), booked("b1", 31)).when(yellow("a1", 67))
    after.then(booked("a1", 67), sent_off("a1", 67, reason="SECOND_YELLOW"))
    after.when(yellow("a1", 68)).then_refused("player_off_field")
    after.when(yellow("a2", 68)).then(booked("a2", 68))
    after.when(yellow("b1", 68)).then(booked("b1", 68), sent_off("b1", 68, reason="SECOND_YELLOW"))


def test_a_red_card() -> None:
    after = PLAYING.given(booked("b1", 3)).when(red("b1", 12))
    after.then(sent_off("b1", 12))
    for command in (red("b1"), yellow("b1"), change("b1", "b2")):
        after.when(command).then_refused("player_off_field")


def test_a_substitution() -> None:
    after = PLAYING.when(change("a1", "a3", 46)).then(changed("a1", "a3", 46))
    after.when(yellow("a3", 50)).then(booked("a3", 50))
    for command in (yellow("a1"), red("a1"), change("a1", "a2")):
        after.when(command).then_refused("player_off_field")
    after.when(change("a2", "a1", 80)).then_refused("substitute_off_field")


def test_who_was_sent_off_does_not_come_on() -> None:
    PLAYING.given(sent_off("a1")).when(change("a2", "a1")).then_refused("substitute_off_field")


def test_a_player_does_not_come_on_for_themselves() -> None:
    PLAYING.when(change("a1", "a1")).then_refused("same_player")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (yellow("nobody", team_id=T1), "unknown_player"),
        (red("nobody", team_id=T1), "unknown_player"),
        (change("nobody", "a1", team_id=T1), "unknown_player"),
        (change("a1", "nobody"), "unknown_player"),
        (yellow("a1", team_id=T2), "wrong_team"),
        (yellow("a1", team_id="neither"), "wrong_team"),
        (red("b1", team_id=T1), "wrong_team"),
        (change("a1", "b1"), "wrong_team"),
        (change("b1", "b2", team_id=T1), "wrong_team"),
    ],
)
def test_who_does_not_play_there(command: Command, code: str) -> None:
    PLAYING.when(command).then_refused(code)


@pytest.mark.parametrize(
    ("other", "code"),
    [
        ({"minute": -1}, "bad_minute"),
        ({"minute": 151}, "bad_minute"),
        ({"minute": 2**63 - 1}, "bad_minute"),
        ({"stoppage": -1}, "bad_stoppage"),
        ({"stoppage": 61}, "bad_stoppage"),
        ({"foul_type": ""}, "bad_foul_type"),
        ({"foul_type": "x" * 65}, "bad_foul_type"),
        ({"foul_type": "a\x00b"}, "bad_foul_type"),
        ({"referee_id": ""}, "bad_id"),
    ],
)
def test_a_card_with_something_wrong(other: dict[str, Any], code: str) -> None:
    PLAYING.when(yellow("a1", **other)).then_refused(code)


def test_other_commands_with_something_wrong() -> None:
    PLAYING.when(red("a1", reason=" x")).then_refused("bad_reason")
    PLAYING.when(red("a1", minute=-1)).then_refused("bad_minute")
    PLAYING.when(red("a1", referee_id="\u202e")).then_refused("bad_id")
    PLAYING.when(change("a1", "a2", minute=999)).then_refused("bad_minute")
    PLAYING.when(change("a1", "a2", stoppage=99)).then_refused("bad_stoppage")


def squad(players: int) -> tuple[Player, ...]:
    return tuple(Player(player_id=f"x{n}", name="N", shirt_number=n) for n in range(players))


def one(player_id: str = "x", name: str = "N", shirt_number: int = 1) -> Team:
    player = Player(player_id=player_id, name=name, shirt_number=shirt_number)
    return msgspec.structs.replace(HOME, players=(player,))


def named(name: str) -> Team:
    return msgspec.structs.replace(HOME, name=name)


@pytest.mark.parametrize(
    ("other", "code"),
    [
        ({"match_id": "m" * 129}, "bad_id"),
        ({"match_id": "a\nb"}, "bad_id"),
        ({"competition": ""}, "bad_competition"),
        ({"home": named("x" * 201)}, "bad_name"),
        ({"home": named(" Real")}, "bad_name"),
        ({"home": named("Real\x00")}, "bad_name"),
        ({"home": named("\u200d")}, "bad_name"),
        ({"away": named("\u202eReal")}, "bad_name"),
        ({"away": msgspec.structs.replace(AWAY, team_id="")}, "bad_id"),
        ({"away": msgspec.structs.replace(AWAY, team_id=T1)}, "same_team"),
        ({"away": msgspec.structs.replace(HOME, team_id=T2)}, "duplicate_player"),
        ({"home": msgspec.structs.replace(HOME, players=squad(2) + squad(1))}, "duplicate_player"),
        ({"home": msgspec.structs.replace(HOME, players=squad(PLAYERS_MAX + 1))}, "too_many_players"),
        ({"home": one(player_id="")}, "bad_id"),
        ({"home": one(name="")}, "bad_name"),
        ({"home": one(shirt_number=-1)}, "bad_shirt_number"),
        ({"home": one(shirt_number=1000)}, "bad_shirt_number"),
        ({"referee": Referee(referee_id="", name="N")}, "bad_id"),
        ({"referee": Referee(referee_id="r", name="\t")}, "bad_name"),
    ],
)
def test_a_start_with_something_wrong(other: dict[str, Any], code: str) -> None:
    Scenario(DECIDER).when(start(**other)).then_refused(code)


@pytest.mark.parametrize(
    "name",
    [
        "x" * 200, "d'Arc \"Jeanne\"", "'; DROP TABLE players; --", "}) DETACH DELETE n //", "عليرضا", "علی\u200cرضا",
        "José", "Jose\u0301", "🦁",
    ],
)  # fmt: skip
def test_names_of_all_kinds_are_taken_as_they_are(name: str) -> None:
    Scenario(DECIDER).when(start(home=named(name))).then(started(home=named(name)))


def test_the_largest_squads_are_taken() -> None:
    home = msgspec.structs.replace(HOME, players=squad(PLAYERS_MAX))
    away = msgspec.structs.replace(AWAY, players=squad(0))
    Scenario(DECIDER).when(start(home=home, away=away)).then(started(home=home, away=away))


def test_of_an_ended_match_only_that_is_remembered() -> None:
    state = PLAYING.given(booked("a1"), sent_off("a2"), ended()).state
    assert (state.ended, state.home, state.away, state.booked, state.off) == (True, (), (), (), ())


PLAYERS = st.sampled_from(sorted(NAMES))
COMMANDS = st.one_of(
    st.builds(yellow, st.sampled_from([*NAMES, "x"]), team_id=st.sampled_from([T1, T2])),
    st.builds(yellow, PLAYERS),
    st.builds(red, PLAYERS),
    st.builds(change, PLAYERS, PLAYERS),
)


@given(st.lists(COMMANDS, max_size=40))
def test_what_holds_of_every_match(commands: list[Command]) -> None:
    """Against a book that is kept by hand: nobody off the field does anything, and two yellow cards are a red one."""
    match, off, yellows = PLAYING, set[str](), dict[str, int]()
    for command in commands:
        match = match.when(command)
        events: Any = match.outcome if isinstance(match.outcome, tuple) else ()
        for event in events:
            who = event.player_off if hasattr(event, "player_off") else event.player_id
            assert who in NAMES
            assert event.team_id == team_of(who)
            assert who not in off
            if isinstance(event, PlayerBooked):
                yellows[who] = yellows.get(who, 0) + 1
            else:
                off.add(who)
                assert getattr(event, "player_on", None) not in off
            if isinstance(event, PlayerSentOff):
                assert (event.reason == "SECOND_YELLOW") == (yellows.get(who) == 2)
        assert all(count < 2 or who in off for who, count in yellows.items())
    assert set(match.state.off) == off


@pytest.mark.parametrize("cls", DECIDER.domain.commands, ids=lambda cls: cls.__name__)
@given(data=st.data(), playing=st.booleans())
def test_whatever_a_command_holds_it_is_decided_or_refused(cls: Any, data: st.DataObject, *, playing: bool) -> None:
    command = data.draw(messages(cls))
    try:
        events = DECIDER.decide(command, PLAYING.state if playing else None, NOON)
    except Refused:
        return
    assert {event.stream for event in events} == {command.match_id}


def test_a_match_is_one_stream() -> None:
    assert start().stream == started().stream == yellow("a1").stream == M
