"""Matches to try bookings with: squads of invented names, cards, substitutions, and now and then what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from eventlog.envelope import time_text
from eventlog.roles import Source
from schemas.bookings import BOOKINGS

SAMPLE_START = datetime(2024, 1, 6, 15, 0, tzinfo=UTC)
BETWEEN_MATCHES = timedelta(hours=3)
SQUAD = 18
ON_FIELD = 11
INCIDENTS = 16
"""Cards and substitutions of a match, on average."""
REFUSED_SHARE = 0.05
"""Of the commands during a match are made so that they are refused."""
_TEAMS = (
    "Atlético Puerto", "Borussia Nord", "Dynamo Kråkøy", "FC Mańk", "Olympique du Val", "Real Sierra", "Rovers & Sons",
    "São Jorge", "SC Höchst", "Union 1904",
)  # fmt: skip
_FIRST = ("Ana", "Björn", "Chloé", "Dário", "Erik", "Fatoumata", "Göran", "Hélène", "Iñaki", "Jürgen", "Kofi", "Lucía")
_LAST = ("Álvarez", "d'Arc", "Đorđević", "Eto'o", "Løvland", "Müller", "N'Diaye", "O'Brien", "Şahin", "van der Meer")
_REFEREES = ("Mario Rossi", "Nadia Haddad", "Søren Holm", "Zoë Clarke")
_FOULS = ("UNSPORTING_BEHAVIOUR", "DISSENT", "TIME_WASTING", "PERSISTENT_OFFENCES")
_REASONS = ("SERIOUS_FOUL_PLAY", "VIOLENT_CONDUCT", "DENIED_A_GOAL")

Command = tuple[str, dict[str, Any], timedelta]
"""Type, data, and how long after the kick-off."""


def sample(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """`count` commands as CloudEvents, match after match; the same ones for the same seed."""
    for number, (kind, data, time) in zip(range(count), _commands(seed), strict=False):
        yield {
            "specversion": "1.0",
            "type": kind,
            "id": f"bookings-{seed}-{number:07d}",
            "source": "onefact/sample",
            "time": time_text(time),
            "data": data,
        }


def _commands(seed: int) -> Iterator[tuple[str, dict[str, Any], datetime]]:
    draw = Random(seed)  # noqa: S311 - a sample, not a secret
    squads = [_squad(draw, number, name) for number, name in enumerate(_TEAMS)]
    number = 0
    while True:
        home, away = draw.sample(squads, 2)
        kick_off = SAMPLE_START + number * BETWEEN_MATCHES
        for kind, data, after in _Play(draw, f"match-{seed}-{number:05d}", home, away).commands():
            yield kind, data, kick_off + after
        number += 1


def _squad(draw: Random, number: int, name: str) -> dict[str, Any]:
    players = [
        {
            "player_id": f"player-{number:02d}-{shirt:02d}",
            "name": f"{draw.choice(_FIRST)} {draw.choice(_LAST)}",
            "shirt_number": shirt,
        }
        for shirt in range(1, SQUAD + 1)
    ]
    return {"team_id": f"team-{number:02d}", "name": name, "players": players}


class _Play:
    """One match while it is played, so that most of what is recorded of it can be."""

    def __init__(self, draw: Random, match_id: str, home: dict[str, Any], away: dict[str, Any]) -> None:
        self.draw = draw
        self.match_id = match_id
        self.home, self.away = home, away
        self.referee = draw.randrange(len(_REFEREES))
        self.field = {t["team_id"]: [p["player_id"] for p in t["players"][:ON_FIELD]] for t in (home, away)}
        self.bench = {t["team_id"]: [p["player_id"] for p in t["players"][ON_FIELD:]] for t in (home, away)}
        self.booked: set[str] = set()
        self.gone: list[tuple[str, str]] = []
        """Team and player of everybody who has left the field."""

    def commands(self) -> Iterator[Command]:
        """From the kick-off to the final whistle, in the order of time."""
        referee = {"referee_id": f"referee-{self.referee}", "name": _REFEREES[self.referee]}
        start = {"competition": "Sample Cup", "home": self.home, "away": self.away, "referee": referee}
        yield "StartMatch", {"match_id": self.match_id, **start}, timedelta()
        minutes = sorted(self.draw.sample(range(1, 94), INCIDENTS + self.draw.randint(-4, 4)))
        for minute in minutes:
            kind, data = self._refused() if self.draw.random() < REFUSED_SHARE else self._incident()
            yield kind, {"match_id": self.match_id, **data, **_clock(minute)}, timedelta(minutes=minute)
        yield "EndMatch", {"match_id": self.match_id}, timedelta(minutes=95)
        if self.draw.random() < 2 * REFUSED_SHARE:
            yield "EndMatch", {"match_id": self.match_id}, timedelta(minutes=96)

    def _incident(self) -> tuple[str, dict[str, Any]]:
        team = self.draw.choice(sorted(self.field))
        player, chance = self.draw.choice(self.field[team]), self.draw.random()
        if chance < 0.35 and self.bench[team]:
            return self._substitution(team, player)
        if chance < 0.42:
            self._leaves(team, player)
            return "RecordRedCard", self._card(team, player) | {"reason": self.draw.choice(_REASONS)}
        if player in self.booked:
            self._leaves(team, player)
        self.booked.add(player)
        return "RecordYellowCard", self._card(team, player) | {"foul_type": self.draw.choice(_FOULS)}

    def _substitution(self, team: str, player: str) -> tuple[str, dict[str, Any]]:
        self._leaves(team, player)
        substitute = self.bench[team].pop(self.draw.randrange(len(self.bench[team])))
        self.field[team].append(substitute)
        return "RecordSubstitution", {"team_id": team, "player_off": player, "player_on": substitute}

    def _refused(self) -> tuple[str, dict[str, Any]]:
        """What no referee could have done."""
        home, away = self.home["team_id"], self.away["team_id"]
        foul = {"foul_type": self.draw.choice(_FOULS)}
        wrong = [
            ("RecordYellowCard", self._card(home, "nobody") | foul),
            ("RecordYellowCard", self._card(home, self.field[away][0]) | foul),
            ("RecordSubstitution", {"team_id": home, "player_off": self.field[home][0], "player_on": "nobody"}),
        ]
        if self.gone:
            wrong.append(("RecordYellowCard", self._card(*self.gone[0]) | foul))
        return self.draw.choice(wrong)

    def _card(self, team: str, player: str) -> dict[str, Any]:
        return {"team_id": team, "player_id": player, "referee_id": f"referee-{self.referee}"}

    def _leaves(self, team: str, player: str) -> None:
        self.field[team].remove(player)
        self.gone.append((team, player))


def _clock(minute: int) -> dict[str, int]:
    """Three minutes are added to the second half."""
    return {"minute": min(minute, 90), "stoppage": max(minute - 90, 0)}


SOURCE = Source(domain=BOOKINGS, sample=sample)
