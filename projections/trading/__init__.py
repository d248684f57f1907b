"""Trading's read models: positions, ledger and alerts as tables; portfolios and their ranking for quick looks."""

from __future__ import annotations

from projections.trading.portfolios import LEADERBOARD, PORTFOLIO
from projections.trading.tables import LEDGER, POSITIONS, RISK_ALERTS

__all__ = ["LEADERBOARD", "LEDGER", "PORTFOLIO", "POSITIONS", "RISK_ALERTS"]
