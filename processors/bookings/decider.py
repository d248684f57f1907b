"""Nobody who is off the field is carded, leaves it again or comes back; a second yellow card is a red one."""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

import msgspec

from eventlog.errors import Refused
from eventlog.roles import Decider
from schemas.bookings import (
    BOOKINGS,
    BookingsCommand,
    BookingsEvent,
    EndMatch,
    MatchEnded,
    MatchStarted,
    PlayerBooked,
    PlayerSentOff,
    PlayerSubstituted,
    RecordRedCard,
    RecordSubstitution,
    RecordYellowCard,
    StartMatch,
    Team,
)

ID_LENGTH_MAX = 128
NAME_LENGTH_MAX = 200
KIND_LENGTH_MAX = 64
"""Of a foul's type and of a sending-off's reason."""
PLAYERS_MAX = 100
"""Of one team."""
SHIRT_NUMBER_MAX = 999
MINUTE_MAX = 150
STOPPAGE_MAX = 60
SECOND_YELLOW = "SECOND_YELLOW"
_JOINERS = str.maketrans("", "", "\u200c\u200d")
"""Characters without a shape of their own that names in some scripts need."""


class Match(msgspec.Struct, frozen=True, gc=False):
    """What decisions about a match read. Lists of player ids, in order; none is kept of a match that has ended."""

    home_id: str
    away_id: str
    home: tuple[str, ...] = ()
    away: tuple[str, ...] = ()
    booked: tuple[str, ...] = ()
    """Who has a yellow card."""
    off: tuple[str, ...] = ()
    """Who was substituted or sent off."""
    ended: bool = False


def decide(command: BookingsCommand, state: Match | None, time: datetime) -> tuple[BookingsEvent, ...]:
    """What a command leads to: one event, or two where a second yellow card sends the player off.

    Raises `Refused` and nothing else, whatever the command holds. In this order: `already_started`, `already_ended` or
    `match_not_in_progress`; what is wrong with the command by itself (`bad_id`, `bad_name`, `bad_competition`,
    `same_team`, `same_player`, `duplicate_player`, `too_many_players`, `bad_shirt_number`, `bad_minute`,
    `bad_stoppage`, `bad_foul_type`, `bad_reason`); then what the match cannot bear (`unknown_player`, `wrong_team`,
    `player_off_field`, `substitute_off_field`).
    """
    del time  # no decision depends on it
    match command:
        case RecordYellowCard():
            return _caution(command, _in_progress(command, state))
        case RecordSubstitution():
            return (_substitute(command, _in_progress(command, state)),)
        case RecordRedCard():
            return (_send_off(command, _in_progress(command, state)),)
        case StartMatch():
            return (_start(command, state),)
        case EndMatch():
            return (_end(command, state),)
        case _:
            assert_never(command)


def evolve(state: Match | None, event: BookingsEvent, time: datetime) -> Match:
    """A match after one more of its events."""
    del time
    match event:
        case MatchStarted():
            home, away = event.home, event.away
            return Match(home.team_id, away.team_id, _ids(home), _ids(away))
        case PlayerBooked():
            known = _known(state)
            return msgspec.structs.replace(known, booked=(*known.booked, event.player_id))
        case PlayerSentOff():
            known = _known(state)
            return msgspec.structs.replace(known, off=(*known.off, event.player_id))
        case PlayerSubstituted():
            known = _known(state)
            return msgspec.structs.replace(known, off=(*known.off, event.player_off))
        case MatchEnded():
            known = _known(state)
            return Match(known.home_id, known.away_id, ended=True)
        case _:
            assert_never(event)


DECIDER = Decider(domain=BOOKINGS, decide=decide, evolve=evolve, state=Match)


def _start(command: StartMatch, state: Match | None) -> MatchStarted:
    if state is not None:
        raise Refused("already_started", f"match {_shown(command.match_id)} has been started before")
    home, away, referee = command.home, command.away, command.referee
    _check_id("match_id", command.match_id)
    _check_name("bad_competition", "competition", command.competition)
    for team in (home, away):
        _check_team(team)
    _check_id("referee_id", referee.referee_id)
    _check_name("bad_name", "the referee's name", referee.name)
    if home.team_id == away.team_id:
        raise Refused("same_team", f"team {_shown(home.team_id)} cannot play against itself")
    ids = [*_ids(home), *_ids(away)]
    if len(set(ids)) < len(ids):
        twice = next(player for at, player in enumerate(ids) if player in ids[:at])
        raise Refused("duplicate_player", f"player {_shown(twice)} is named twice")
    return MatchStarted(
        match_id=command.match_id, competition=command.competition, home=home, away=away, referee=referee
    )


def _check_team(team: Team) -> None:
    _check_id("team_id", team.team_id)
    _check_name("bad_name", "a team's name", team.name)
    if len(team.players) > PLAYERS_MAX:
        raise Refused("too_many_players", f"a team has at most {PLAYERS_MAX} players, not {len(team.players)}")
    for player in team.players:
        _check_id("player_id", player.player_id)
        _check_name("bad_name", "a player's name", player.name)
        if not 0 <= player.shirt_number <= SHIRT_NUMBER_MAX:
            raise Refused("bad_shirt_number", f"a shirt's number is 0 to {SHIRT_NUMBER_MAX}, not {player.shirt_number}")


def _end(command: EndMatch, state: Match | None) -> MatchEnded:
    if state is not None and state.ended:
        raise Refused("already_ended", f"match {_shown(command.match_id)} has ended before")
    _in_progress(command, state)
    return MatchEnded(match_id=command.match_id)


def _caution(command: RecordYellowCard, match: Match) -> tuple[PlayerBooked] | tuple[PlayerBooked, PlayerSentOff]:
    _check_minute(command.minute, command.stoppage)
    _check_kind("bad_foul_type", "foul_type", command.foul_type)
    _check_id("referee_id", command.referee_id)
    _on_field(match, command.team_id, command.player_id)
    booked = PlayerBooked(
        match_id=command.match_id,
        player_id=command.player_id,
        team_id=command.team_id,
        minute=command.minute,
        stoppage=command.stoppage,
        foul_type=command.foul_type,
        referee_id=command.referee_id,
    )
    if command.player_id not in match.booked:
        return (booked,)
    return booked, PlayerSentOff(
        match_id=command.match_id,
        player_id=command.player_id,
        team_id=command.team_id,
        minute=command.minute,
        stoppage=command.stoppage,
        reason=SECOND_YELLOW,
        referee_id=command.referee_id,
    )


def _send_off(command: RecordRedCard, match: Match) -> PlayerSentOff:
    _check_minute(command.minute, command.stoppage)
    _check_kind("bad_reason", "reason", command.reason)
    _check_id("referee_id", command.referee_id)
    _on_field(match, command.team_id, command.player_id)
    return PlayerSentOff(
        match_id=command.match_id,
        player_id=command.player_id,
        team_id=command.team_id,
        minute=command.minute,
        stoppage=command.stoppage,
        reason=command.reason,
        referee_id=command.referee_id,
    )


def _substitute(command: RecordSubstitution, match: Match) -> PlayerSubstituted:
    _check_minute(command.minute, command.stoppage)
    if command.player_off == command.player_on:
        raise Refused("same_player", f"player {_shown(command.player_off)} cannot come on for themselves")
    _on_field(match, command.team_id, command.player_off)
    _check_member(match, command.team_id, command.player_on)
    if command.player_on in match.off:
        raise Refused("substitute_off_field", f"player {_shown(command.player_on)} has left the field for good")
    return PlayerSubstituted(
        match_id=command.match_id,
        team_id=command.team_id,
        player_off=command.player_off,
        player_on=command.player_on,
        minute=command.minute,
        stoppage=command.stoppage,
    )


def _in_progress(command: BookingsCommand, state: Match | None) -> Match:
    if state is None or state.ended:
        why = "has not been started" if state is None else "has ended"
        raise Refused("match_not_in_progress", f"match {_shown(command.match_id)} {why}")
    return state


def _on_field(match: Match, team_id: str, player_id: str) -> None:
    _check_member(match, team_id, player_id)
    if player_id in match.off:
        raise Refused("player_off_field", f"player {_shown(player_id)} is off the field already")


def _check_member(match: Match, team_id: str, player_id: str) -> None:
    own = match.home_id if player_id in match.home else match.away_id if player_id in match.away else None
    if own is None:
        raise Refused("unknown_player", f"player {_shown(player_id)} is in neither team's list")
    if own != team_id:
        raise Refused("wrong_team", f"player {_shown(player_id)} plays for {_shown(own)}, not for {_shown(team_id)}")


def _check_minute(minute: int, stoppage: int) -> None:
    if not 0 <= minute <= MINUTE_MAX:
        raise Refused("bad_minute", f"minute must be 0 to {MINUTE_MAX}, not {minute}")
    if not 0 <= stoppage <= STOPPAGE_MAX:
        raise Refused("bad_stoppage", f"stoppage must be 0 to {STOPPAGE_MAX}, not {stoppage}")


def _check_id(field: str, given: str) -> None:
    _check_text("bad_id", field, given, ID_LENGTH_MAX)


def _check_name(code: str, field: str, given: str) -> None:
    _check_text(code, field, given.translate(_JOINERS), NAME_LENGTH_MAX)


def _check_kind(code: str, field: str, given: str) -> None:
    _check_text(code, field, given, KIND_LENGTH_MAX)


def _check_text(code: str, field: str, given: str, length_max: int) -> None:
    """1 to `length_max` printable characters, with no space at either end."""
    if not (0 < len(given) <= length_max and given.isprintable() and given[0] != " " != given[-1]):
        raise Refused(code, f"{field} must be 1 to {length_max} printable characters, not {given[:length_max]!r}")


def _shown(given: str) -> str:
    return repr(given[:ID_LENGTH_MAX])


def _ids(team: Team) -> tuple[str, ...]:
    return tuple(player.player_id for player in team.players)


def _known(state: Match | None) -> Match:
    assert state is not None, "a match's first event is MatchStarted"
    return state
