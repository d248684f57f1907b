"""Three years of a real account's trades come out at its own cash and shares."""

from __future__ import annotations

import csv
import gzip
import json
from decimal import Decimal

from eventlog.envelope import parse_time
from eventlog.testing import Scenario, message_of
from processors.trading import DECIDER
from schemas.trading import TRADING
from tests.real import FOLDER, TRADES, needs

RELATIVE = Decimal("1e-6")
"""Of a day's cash. The trades' prices are given with 12 significant digits, and so is the cash, so that even the
exact sum of the trades drifts from the account's own figures, in three years by 4e-6 of a dollar."""
ABSOLUTE = Decimal("4e-6")

pytestmark = needs(TRADES)


def test_cash_of_every_day_and_shares_at_the_end() -> None:
    after, cash_by_day, summed = Scenario(DECIDER), {}, Decimal(0)
    with gzip.open(TRADES, "rt") as lines:
        for line in lines:
            written = json.loads(line)
            # Numbers of the input become text as they are written, the way a publisher does it.
            data = {k: str(v) if type(v) is int else v for k, v in written["data"].items()}
            command = message_of(TRADING.published()[written["type"]][0], data)
            after = after.when(command, at=parse_time(written["time"]))  # type: ignore[arg-type]
            assert isinstance(after.outcome, tuple), after.outcome
            summed += moved(written["type"], data)
            assert after.state.cash == summed, "no amount of these trades needs a rounding"
            cash_by_day[written["time"][:10]] = after.state.cash
    with (FOLDER / "cash-by-day-2004-2006.csv").open() as rows:
        expected = {row["date"]: Decimal(row["cash"]) for row in csv.DictReader(rows)}
    away = {day: abs(cash_by_day[day] - cash) for day, cash in expected.items()}
    assert len(expected) == 750
    assert {day: off for day, off in away.items() if off > RELATIVE * abs(expected[day])} == {}
    assert max(away.values()) < ABSOLUTE
    assert after.state.shares == json.loads((FOLDER / "shares-end-2006.json").read_text())


def moved(kind: str, data: dict[str, str]) -> Decimal:
    """Cash that a command brings, by plain arithmetic on what is written."""
    match kind:
        case "BuyStock":
            return -Decimal(data["quantity"]) * Decimal(data["price"])
        case "SellStock":
            return Decimal(data["quantity"]) * Decimal(data["price"])
        case _:
            return Decimal(data.get("amount", 0))
