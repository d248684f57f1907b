"""Bookings' vocabulary: football matches, the cards and substitutions in them, and what four audiences are told."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from eventlog.message import Command, Event
from eventlog.topics import Domain

NAMESPACE = "onefact.bookings"


class Player(msgspec.Struct, frozen=True, kw_only=True):
    """One of a team's players, on the field or on the bench."""

    player_id: str
    name: str
    shirt_number: int


class Team(msgspec.Struct, frozen=True, kw_only=True):
    """A team with everybody who may play in the match."""

    team_id: str
    name: str
    players: tuple[Player, ...]


class Referee(msgspec.Struct, frozen=True, kw_only=True):
    """Who shows the cards."""

    referee_id: str
    name: str


class MatchCommand(Command, frozen=True, kw_only=True):
    """Base of the commands: each is for one match."""

    stream_field: ClassVar[str] = "match_id"
    namespace: ClassVar[str] = NAMESPACE

    match_id: str


class MatchEvent(Event, frozen=True, kw_only=True):
    """Base of the events: each is of one match."""

    stream_field: ClassVar[str] = "match_id"
    namespace: ClassVar[str] = NAMESPACE

    match_id: str


class StartMatch(MatchCommand, frozen=True, kw_only=True):
    """Kick off, with the two squads."""

    competition: str
    home: Team
    away: Team
    referee: Referee


class RecordYellowCard(MatchCommand, frozen=True, kw_only=True):
    """A player was cautioned; the second time in a match sends the player off."""

    player_id: str
    team_id: str
    minute: int
    stoppage: int = 0
    """Minutes of added time, after the 45th, 90th, 105th or 120th minute."""
    foul_type: str
    referee_id: str


class RecordRedCard(MatchCommand, frozen=True, kw_only=True):
    """A player was sent off."""

    player_id: str
    team_id: str
    minute: int
    stoppage: int = 0
    reason: str
    referee_id: str


class RecordSubstitution(MatchCommand, frozen=True, kw_only=True):
    """A player came on for another."""

    team_id: str
    player_off: str
    player_on: str
    minute: int
    stoppage: int = 0


class EndMatch(MatchCommand, frozen=True, kw_only=True):
    """Blow the final whistle."""


class MatchStarted(MatchEvent, frozen=True, kw_only=True):
    """A match was kicked off between these squads."""

    competition: str
    home: Team
    away: Team
    referee: Referee


class PlayerBooked(MatchEvent, frozen=True, kw_only=True):
    """A player was shown the yellow card."""

    player_id: str
    team_id: str
    minute: int
    stoppage: int
    foul_type: str
    referee_id: str


class PlayerSentOff(MatchEvent, frozen=True, kw_only=True):
    """A player had to leave the field; after a second yellow card `reason` is `SECOND_YELLOW`."""

    player_id: str
    team_id: str
    minute: int
    stoppage: int
    reason: str
    referee_id: str


class PlayerSubstituted(MatchEvent, frozen=True, kw_only=True):
    """A player left the field for another."""

    team_id: str
    player_off: str
    player_on: str
    minute: int
    stoppage: int


class MatchEnded(MatchEvent, frozen=True, kw_only=True):
    """The match is over."""


class TvGraphicPrepared(MatchEvent, frozen=True, kw_only=True):
    """A line for the screen, ready to be shown."""

    version: int
    """Of the match after the event."""
    kind: str
    """`YELLOW_CARD`, `RED_CARD` or `SUBSTITUTION`; so it is in the facts below."""
    display_text: str
    """Such as `YELLOW CARD: Sergio Ramos (Real Madrid), 67'`, or `45+2'`."""
    team_id: str
    player_id: str
    """Who was carded, or came on."""


class NewsAlertRaised(MatchEvent, frozen=True, kw_only=True):
    """Something that newsrooms want to know at once."""

    version: int
    kind: str
    headline: str
    urgency: int
    """0 to 100; alerts begin at 70."""
    priority: str
    """Derived from the urgency: `urgent` from 90 on, `high` from 70 on, else `normal`."""
    team_id: str
    player_id: str


class SocialPostWritten(MatchEvent, frozen=True, kw_only=True):
    """A post about the match, ready to be sent."""

    version: int
    kind: str
    text: str
    """At most 280 characters, hashtags included; what was cut off ends in an ellipsis."""
    hashtags: tuple[str, ...]
    """Of the player's and the team's name, with their `#`; those too, for which there was no room in the text."""
    expected_engagement: int
    """Reactions: 1,000 for a yellow card, 5,000 for a red one, one per cent more for every minute played."""
    shortened: bool
    """Whether the text lacks something."""


class MatchOpened(MatchEvent, frozen=True, kw_only=True):
    """For the statistics: who plays whom, under which referee."""

    competition: str
    home_id: str
    home_name: str
    away_id: str
    away_name: str
    referee_id: str
    referee_name: str


class IncidentCounted(MatchEvent, frozen=True, kw_only=True):
    """For the statistics: a card or a substitution, with the names that go with it."""

    version: int
    kind: str
    quarter: int
    """Quarter of an hour, from 1; added time counts to the one that it prolongs, so 45+2' is in the third."""
    team_id: str
    team_name: str
    player_id: str
    player_name: str
    referee_id: str
    """Who showed the card; empty for substitutions."""


BookingsCommand = StartMatch | RecordYellowCard | RecordRedCard | RecordSubstitution | EndMatch
BookingsEvent = MatchStarted | PlayerBooked | PlayerSentOff | PlayerSubstituted | MatchEnded

BOOKINGS = Domain(
    "bookings",
    commands=(StartMatch, RecordYellowCard, RecordRedCard, RecordSubstitution, EndMatch),
    events=(MatchStarted, PlayerBooked, PlayerSentOff, PlayerSubstituted, MatchEnded),
    enriched=(TvGraphicPrepared, NewsAlertRaised, SocialPostWritten, MatchOpened, IncidentCounted),
)
