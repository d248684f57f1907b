"""Numbers: of each team in a match, of each player and each referee over all matches."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from eventlog.envelope import Meta
from eventlog.models import ColumnType, Table, Value
from eventlog.operations import Add, Newest, Operation, Put
from eventlog.roles import Projection
from schemas.bookings import BOOKINGS, IncidentCounted, MatchOpened

MIGRATIONS = Path(__file__).parent / "migrations"
NEWEST_BY = ("as_of", "event_id")
QUARTERS = range(1, 9)
"""Of an hour each; the last one is the last of a match with extra time."""
CARDS = {"YELLOW_CARD": "yellow_cards", "RED_CARD": "red_cards"}
NUMBERS = {"yellow_cards": 0, "red_cards": 0, "substitutions": 0} | {
    f"{what}_q{quarter}": 0 for quarter in QUARTERS for what in ("cards", "substitutions")
}


def on_match_analytics(event: MatchOpened | IncidentCounted, _: Meta) -> Iterable[Operation]:
    """Both teams have a row from the start on, of zeros at first."""
    if isinstance(event, MatchOpened):
        for team_id, name in ((event.home_id, event.home_name), (event.away_id, event.away_name)):
            yield Add((event.match_id, team_id), NUMBERS)
            yield Put((event.match_id, team_id), {"team_name": name})
        return
    card = CARDS.get(event.kind)
    added = {card or "substitutions": 1, f"{'cards' if card else 'substitutions'}_q{event.quarter}": 1}
    yield Add((event.match_id, event.team_id), NUMBERS | added)


def on_player_cards(event: IncidentCounted, meta: Meta) -> Iterable[Operation]:
    """Cards of a player over all matches; name and team are those of the newest card."""
    if event.kind in CARDS:
        key = (event.player_id,)
        values: dict[str, Value] = {
            "name": event.player_name,
            "team_id": event.team_id,
            "team_name": event.team_name,
            "as_of": meta.time,
            "event_id": meta.id,
        }
        yield Add(key, {"yellow_cards": 0, "red_cards": 0, CARDS[event.kind]: 1})
        yield Newest(key, values, NEWEST_BY)


def on_referee_cards(event: MatchOpened | IncidentCounted, meta: Meta) -> Iterable[Operation]:
    """Matches that a referee was named for, and cards that the referee showed, in whichever match."""
    nothing = {"matches": 0, "yellow_cards": 0, "red_cards": 0}
    if isinstance(event, MatchOpened):
        key = (event.referee_id,)
        yield Add(key, nothing | {"matches": 1})
        yield Newest(key, {"name": event.referee_name, "as_of": meta.time, "event_id": meta.id}, NEWEST_BY)
    elif event.kind in CARDS:
        yield Add((event.referee_id,), nothing | {CARDS[event.kind]: 1})


_ANALYTICS: dict[str, ColumnType] = {"match_id": "text", "team_id": "text", "team_name": "text"}

MATCH_ANALYTICS = Projection(
    domain=BOOKINGS,
    model=Table(
        "match-analytics",
        ("match_id", "team_id"),
        _ANALYTICS | dict.fromkeys(NUMBERS, "integer"),
        migrations=MIGRATIONS / "match_analytics",
    ),
    sources=(BOOKINGS.topic("enriched"),),
    on=on_match_analytics,
)

PLAYER_CARDS = Projection(
    domain=BOOKINGS,
    model=Table(
        "player-cards",
        ("player_id",),
        {
            "player_id": "text",
            "name": "text",
            "team_id": "text",
            "team_name": "text",
            "yellow_cards": "integer",
            "red_cards": "integer",
            "as_of": "time",
            "event_id": "text",
        },
        migrations=MIGRATIONS / "player_cards",
    ),
    sources=(BOOKINGS.topic("enriched"),),
    on=on_player_cards,
)

REFEREE_CARDS = Projection(
    domain=BOOKINGS,
    model=Table(
        "referee-cards",
        ("referee_id",),
        {
            "referee_id": "text",
            "name": "text",
            "matches": "integer",
            "yellow_cards": "integer",
            "red_cards": "integer",
            "as_of": "time",
            "event_id": "text",
        },
        migrations=MIGRATIONS / "referee_cards",
    ),
    sources=(BOOKINGS.topic("enriched"),),
    on=on_referee_cards,
)
