"""What trading decides, and what its facts mean."""

from __future__ import annotations

from processors.trading.decider import DECIDER
from processors.trading.enricher import ENRICHER

__all__ = ["DECIDER", "ENRICHER"]
