"""What television, social media and newsrooms look at."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from eventlog.envelope import Meta
from eventlog.models import Feed, Table, Value
from eventlog.operations import Append, Operation, Push
from eventlog.roles import Projection
from schemas.bookings import BOOKINGS, NewsAlertRaised, SocialPostWritten, TvGraphicPrepared

MIGRATIONS = Path(__file__).parent / "migrations"
SHOWN_FOR = timedelta(hours=24)
"""From when the fact was appended to the log: an old match that is entered today is news to the screen."""


def on_tv_live(event: TvGraphicPrepared, meta: Meta) -> Iterable[Operation]:
    """The last ten lines of a match."""
    values: dict[str, Value] = {
        "version": event.version,
        "kind": event.kind,
        "display_text": event.display_text,
        "team_id": event.team_id,
        "player_id": event.player_id,
        "time": meta.time,
    }
    return (Push((event.match_id,), values, meta.appended),)


def on_social_feed(event: SocialPostWritten, meta: Meta) -> Iterable[Operation]:
    """The posts about a match."""
    values: dict[str, Value] = {
        "version": event.version,
        "kind": event.kind,
        "text": event.text,
        "hashtags": " ".join(event.hashtags),
        "expected_engagement": event.expected_engagement,
        "shortened": event.shortened,
        "time": meta.time,
    }
    return (Push((event.match_id,), values, meta.appended),)


def on_news_alerts(event: NewsAlertRaised, meta: Meta) -> Iterable[Operation]:
    """Every alert is a row, never changed again."""
    values: dict[str, Value] = {
        "headline": event.headline,
        "urgency": event.urgency,
        "priority": event.priority,
        "kind": event.kind,
        "team_id": event.team_id,
        "player_id": event.player_id,
        "time": meta.time,
    }
    return (Append((event.match_id, event.version), values),)


TV_LIVE = Projection(
    domain=BOOKINGS,
    model=Feed(
        "tv-live",
        ("match_id",),
        {"match_id": "text", "entries": "text"},
        entry={
            "version": "integer",
            "kind": "text",
            "display_text": "text",
            "team_id": "text",
            "player_id": "text",
            "time": "time",
        },
        limit=10,
        expires=SHOWN_FOR,
    ),
    sources=(BOOKINGS.topic("enriched"),),
    on=on_tv_live,
)

SOCIAL_FEED = Projection(
    domain=BOOKINGS,
    model=Feed(
        "social-feed",
        ("match_id",),
        {"match_id": "text", "entries": "text"},
        entry={
            "version": "integer",
            "kind": "text",
            "text": "text",
            "hashtags": "text",
            "expected_engagement": "integer",
            "shortened": "boolean",
            "time": "time",
        },
        limit=100,
    ),
    sources=(BOOKINGS.topic("enriched"),),
    on=on_social_feed,
)

NEWS_ALERTS = Projection(
    domain=BOOKINGS,
    model=Table(
        "news-alerts",
        ("match_id", "version"),
        {
            "match_id": "text",
            "version": "integer",
            "headline": "text",
            "urgency": "integer",
            "priority": "text",
            "kind": "text",
            "team_id": "text",
            "player_id": "text",
            "time": "time",
        },
        migrations=MIGRATIONS / "news_alerts",
    ),
    sources=(BOOKINGS.topic("enriched"),),
    on=on_news_alerts,
)
