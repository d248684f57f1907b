"""Short words for what happens in one match: M, between Real Madrid (T1) and Barça (T2), under referee R."""

from __future__ import annotations

from typing import Any

from schemas.bookings import (
    EndMatch,
    MatchEnded,
    MatchStarted,
    Player,
    PlayerBooked,
    PlayerSentOff,
    PlayerSubstituted,
    RecordRedCard,
    RecordSubstitution,
    RecordYellowCard,
    Referee,
    StartMatch,
    Team,
)

M, T1, T2, R = "match-1", "real", "barca", "ref-1"
NAMES = {"a1": "Sergio Ramos", "a2": "Luka Modrić", "a3": "Isco", "b1": "Gerard Piqué", "b2": "Xavi", "b3": "Pedro"}
HOME = Team(team_id=T1, name="Real Madrid", players=tuple(
    Player(player_id=p, name=NAMES[p], shirt_number=n) for n, p in enumerate(("a1", "a2", "a3"), 1)))  # fmt: skip
AWAY = Team(team_id=T2, name="FC Barcelona", players=tuple(
    Player(player_id=p, name=NAMES[p], shirt_number=n) for n, p in enumerate(("b1", "b2", "b3"), 1)))  # fmt: skip
REFEREE = Referee(referee_id=R, name="Mateu Lahoz")
START: dict[str, Any] = {"match_id": M, "competition": "La Liga", "home": HOME, "away": AWAY, "referee": REFEREE}


def team_of(player: str) -> str:
    return T1 if player.startswith("a") else T2


def start(**other: Any) -> StartMatch:
    return StartMatch(**(START | other))


def yellow(player: str, minute: int = 67, stoppage: int = 0, **other: Any) -> RecordYellowCard:
    given = {"match_id": M, "player_id": player, "team_id": team_of(player), "foul_type": "DISSENT", "referee_id": R}
    return RecordYellowCard(**(given | {"minute": minute, "stoppage": stoppage} | other))


def red(player: str, minute: int = 67, stoppage: int = 0, **other: Any) -> RecordRedCard:
    given = {"match_id": M, "player_id": player, "team_id": team_of(player), "reason": "FOUL", "referee_id": R}
    return RecordRedCard(**(given | {"minute": minute, "stoppage": stoppage} | other))


def change(off: str, on: str, minute: int = 67, stoppage: int = 0, **other: Any) -> RecordSubstitution:
    given = {"match_id": M, "team_id": team_of(off), "player_off": off, "player_on": on}
    return RecordSubstitution(**(given | {"minute": minute, "stoppage": stoppage} | other))


def end() -> EndMatch:
    return EndMatch(match_id=M)


def started(**other: Any) -> MatchStarted:
    return MatchStarted(**(START | other))


def booked(player: str, minute: int = 67, stoppage: int = 0) -> PlayerBooked:
    return PlayerBooked(match_id=M, player_id=player, team_id=team_of(player), minute=minute, stoppage=stoppage,
                        foul_type="DISSENT", referee_id=R)  # fmt: skip


def sent_off(player: str, minute: int = 67, stoppage: int = 0, reason: str = "FOUL") -> PlayerSentOff:
    return PlayerSentOff(match_id=M, player_id=player, team_id=team_of(player), minute=minute, stoppage=stoppage,
                         reason=reason, referee_id=R)  # fmt: skip


def changed(off: str, on: str, minute: int = 67, stoppage: int = 0) -> PlayerSubstituted:
    return PlayerSubstituted(match_id=M, team_id=team_of(off), player_off=off, player_on=on, minute=minute,
                             stoppage=stoppage)  # fmt: skip


def ended() -> MatchEnded:
    return MatchEnded(match_id=M)
