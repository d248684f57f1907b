"""The facts in rows: who plays, who referees, who was carded.

Players, teams and referees are in many matches, whose order among each other is not fixed: a row is that of the
newest match by the time of its start.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from eventlog.envelope import Meta
from eventlog.models import Table, Value
from eventlog.operations import Append, Newest, Operation
from eventlog.roles import Projection
from schemas.bookings import BOOKINGS, MatchStarted, PlayerBooked, PlayerSentOff

MIGRATIONS = Path(__file__).parent / "migrations"
NEWEST_BY = ("as_of", "event_id")


def on_players(event: MatchStarted, meta: Meta) -> Iterable[Operation]:
    """Everybody in the two lists, with the team of the newest match."""
    for team in (event.home, event.away):
        for player in team.players:
            values: dict[str, Value] = {
                "name": player.name,
                "team_id": team.team_id,
                "shirt_number": player.shirt_number,
                "as_of": meta.time,
                "event_id": meta.id,
            }
            yield Newest((player.player_id,), values, NEWEST_BY)


def on_teams(event: MatchStarted, meta: Meta) -> Iterable[Operation]:
    """The two teams."""
    for team in (event.home, event.away):
        yield Newest((team.team_id,), {"name": team.name, "as_of": meta.time, "event_id": meta.id}, NEWEST_BY)


def on_referees(event: MatchStarted, meta: Meta) -> Iterable[Operation]:
    """The referee."""
    referee = event.referee
    values: dict[str, Value] = {"name": referee.name, "as_of": meta.time, "event_id": meta.id}
    return (Newest((referee.referee_id,), values, NEWEST_BY),)


def on_bookings(event: PlayerBooked | PlayerSentOff, meta: Meta) -> Iterable[Operation]:
    """Every card is a row, never changed again; a second yellow card is two."""
    booked = isinstance(event, PlayerBooked)
    values: dict[str, Value] = {
        "card": "yellow" if booked else "red",
        "player_id": event.player_id,
        "team_id": event.team_id,
        "referee_id": event.referee_id,
        "minute": event.minute,
        "stoppage": event.stoppage,
        "reason": event.foul_type if isinstance(event, PlayerBooked) else event.reason,
        "time": meta.time,
        "event_id": meta.id,
    }
    return (Append((event.match_id, meta.version), values),)


PLAYERS = Projection(
    domain=BOOKINGS,
    model=Table(
        "players",
        ("player_id",),
        {
            "player_id": "text",
            "name": "text",
            "team_id": "text",
            "shirt_number": "integer",
            "as_of": "time",
            "event_id": "text",
        },
        migrations=MIGRATIONS / "players",
    ),
    sources=(BOOKINGS.topic("events"),),
    on=on_players,
)

TEAMS = Projection(
    domain=BOOKINGS,
    model=Table(
        "teams",
        ("team_id",),
        {"team_id": "text", "name": "text", "as_of": "time", "event_id": "text"},
        migrations=MIGRATIONS / "teams",
    ),
    sources=(BOOKINGS.topic("events"),),
    on=on_teams,
)

REFEREES = Projection(
    domain=BOOKINGS,
    model=Table(
        "referees",
        ("referee_id",),
        {"referee_id": "text", "name": "text", "as_of": "time", "event_id": "text"},
        migrations=MIGRATIONS / "referees",
    ),
    sources=(BOOKINGS.topic("events"),),
    on=on_referees,
)

CARDS = Projection(
    domain=BOOKINGS,
    model=Table(
        "bookings",
        ("match_id", "version"),
        {
            "match_id": "text",
            "version": "integer",
            "card": "text",
            "player_id": "text",
            "team_id": "text",
            "referee_id": "text",
            "minute": "integer",
            "stoppage": "integer",
            "reason": "text",
            "time": "time",
            "event_id": "text",
        },
        migrations=MIGRATIONS / "bookings",
    ),
    sources=(BOOKINGS.topic("events"),),
    on=on_bookings,
)
