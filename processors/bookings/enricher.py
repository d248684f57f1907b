"""What a match's facts mean to its four audiences: television, newsrooms, social media, statistics.

Who is told of what stands in the tables of `processors.bookings.routes`. Names come from the match's own start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import NamedTuple, assert_never

import msgspec

from eventlog.message import Event
from eventlog.roles import Enricher, References
from processors.bookings.routes import Audience, audiences_of, priority_of, urgency_of
from processors.bookings.wording import card_line, hashtags, minute_text, post, substitution_line
from schemas.bookings import (
    BOOKINGS,
    BookingsEvent,
    IncidentCounted,
    MatchEnded,
    MatchOpened,
    MatchStarted,
    NewsAlertRaised,
    PlayerBooked,
    PlayerSentOff,
    PlayerSubstituted,
    SocialPostWritten,
    TvGraphicPrepared,
)

QUARTER_MINUTES = 15
QUARTERS_MAX = 8
"""Two hours: a match with extra time."""
ENGAGEMENT = {"YELLOW_CARD": 1_000, "RED_CARD": 5_000}
"""Reactions that a post is expected to get in the first minute; one per cent more for every minute played."""


class Match(msgspec.Struct, frozen=True, gc=False):
    """What enrichment remembers of a match; of one that has ended, only how many events there were."""

    version: int = 0
    yellows: int = 0
    teams: dict[str, str] = {}
    players: dict[str, str] = {}


class Incident(NamedTuple):
    """A card or a substitution, with the names that go with it."""

    match_id: str
    version: int
    kind: str
    team_id: str
    team: str
    player_id: str
    player: str
    minute: int
    stoppage: int
    referee_id: str
    line: str
    headline: str
    urgency: int


def enrich(
    event: BookingsEvent, state: Match | None, references: References, time: datetime
) -> tuple[list[Event], Match]:
    """The facts for those who are told of the event, and the match after it."""
    del references, time
    match = _next(state or Match(), event)
    facts = msgspec.structs.asdict(event) | {"match_yellows": match.yellows}
    facts["urgency"] = urgency_of(type(event), facts)
    told = audiences_of(type(event), facts)
    return list(_told(event, match, told, facts["urgency"])), match


ENRICHER = Enricher(domain=BOOKINGS, enrich=enrich, state=Match)


def _next(match: Match, event: BookingsEvent) -> Match:
    version = match.version + 1
    match event:
        case MatchStarted():
            teams = (event.home, event.away)
            return Match(
                version=version,
                teams={team.team_id: team.name for team in teams},
                players={player.player_id: player.name for team in teams for player in team.players},
            )
        case PlayerBooked():
            return msgspec.structs.replace(match, version=version, yellows=match.yellows + 1)
        case PlayerSentOff() | PlayerSubstituted():
            return msgspec.structs.replace(match, version=version)
        case MatchEnded():
            return Match(version)
        case _:
            assert_never(event)


def _told(event: BookingsEvent, match: Match, told: tuple[Audience, ...], urgency: int) -> Iterator[Event]:
    match event:
        case MatchStarted():
            if "statistics" in told:
                yield _opened(event)
        case PlayerBooked() | PlayerSentOff() | PlayerSubstituted():
            incident = _incident(event, match, urgency)
            yield from (TELL[audience](incident) for audience in told)
        case MatchEnded():
            pass
        case _:
            assert_never(event)


def _opened(event: MatchStarted) -> MatchOpened:
    return MatchOpened(
        match_id=event.match_id,
        competition=event.competition,
        home_id=event.home.team_id,
        home_name=event.home.name,
        away_id=event.away.team_id,
        away_name=event.away.name,
        referee_id=event.referee.referee_id,
        referee_name=event.referee.name,
    )


def _incident(event: PlayerBooked | PlayerSentOff | PlayerSubstituted, match: Match, urgency: int) -> Incident:
    team = match.teams[event.team_id]
    when = minute_text(event.minute, event.stoppage)
    if isinstance(event, PlayerSubstituted):
        kind, player_id, referee_id = "SUBSTITUTION", event.player_on, ""
        player, off = match.players[event.player_on], match.players[event.player_off]
        line = substitution_line(player, off, team, when)
        headline = f"{player} ({team}) comes on for {off}, {when}"
    else:
        player_id, player, referee_id = event.player_id, match.players[event.player_id], event.referee_id
        if isinstance(event, PlayerBooked):
            kind, headline = (
                "YELLOW_CARD",
                f"{player} ({team}) booked, {when}: yellow card {match.yellows} of the match",
            )
        else:
            kind, headline = "RED_CARD", f"{player} ({team}) sent off, {when}"
        line = card_line(kind, player, team, when)
    return Incident(
        event.match_id, match.version, kind, event.team_id, team, player_id, player, event.minute, event.stoppage,
        referee_id, line, headline, urgency,
    )  # fmt: skip


def _graphic(incident: Incident) -> TvGraphicPrepared:
    return TvGraphicPrepared(
        match_id=incident.match_id,
        version=incident.version,
        kind=incident.kind,
        display_text=incident.line,
        team_id=incident.team_id,
        player_id=incident.player_id,
    )


def _alert(incident: Incident) -> NewsAlertRaised:
    return NewsAlertRaised(
        match_id=incident.match_id,
        version=incident.version,
        kind=incident.kind,
        headline=incident.headline,
        urgency=incident.urgency,
        priority=priority_of(incident.urgency),
        team_id=incident.team_id,
        player_id=incident.player_id,
    )


def _post(incident: Incident) -> SocialPostWritten:
    tags = hashtags(incident.player, incident.team)
    text, shortened = post(incident.line, tags)
    return SocialPostWritten(
        match_id=incident.match_id,
        version=incident.version,
        kind=incident.kind,
        text=text,
        hashtags=tags,
        expected_engagement=ENGAGEMENT.get(incident.kind, 0) * (100 + incident.minute) // 100,
        shortened=shortened,
    )


def _counted(incident: Incident) -> IncidentCounted:
    return IncidentCounted(
        match_id=incident.match_id,
        version=incident.version,
        kind=incident.kind,
        quarter=quarter(incident.minute),
        team_id=incident.team_id,
        team_name=incident.team,
        player_id=incident.player_id,
        player_name=incident.player,
        referee_id=incident.referee_id,
    )


TELL: dict[Audience, Callable[[Incident], Event]] = {
    "tv": _graphic, "news": _alert, "social": _post, "statistics": _counted,
}  # fmt: skip
"""What each audience is given of an incident."""


def quarter(minute: int) -> int:
    """Quarter of an hour of a minute: 1 for the 1st to the 15th; the last one has what comes after two hours."""
    return min(max(minute - 1, 0) // QUARTER_MINUTES + 1, QUARTERS_MAX)
