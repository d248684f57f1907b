"""Bookings' read models: one for each audience, and the facts in rows."""

from __future__ import annotations

from projections.bookings.audiences import NEWS_ALERTS, SOCIAL_FEED, TV_LIVE
from projections.bookings.rows import CARDS, PLAYERS, REFEREES, TEAMS
from projections.bookings.statistics import MATCH_ANALYTICS, PLAYER_CARDS, REFEREE_CARDS

__all__ = [
    "CARDS",
    "MATCH_ANALYTICS",
    "NEWS_ALERTS",
    "PLAYERS",
    "PLAYER_CARDS",
    "REFEREES",
    "REFEREE_CARDS",
    "SOCIAL_FEED",
    "TEAMS",
    "TV_LIVE",
]
