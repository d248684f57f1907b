"""What bookings decides, and whom its facts are told to."""

from __future__ import annotations

from processors.bookings.decider import DECIDER
from processors.bookings.enricher import ENRICHER

__all__ = ["DECIDER", "ENRICHER"]
