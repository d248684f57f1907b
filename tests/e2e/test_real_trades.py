"""Three years of a real margin account through the whole way: cash of every day, and the shares at the end."""

from __future__ import annotations

import csv
import gzip
import json
from decimal import Decimal

from eventlog.settings import Settings
from projections import Reader
from tests.e2e.conftest import Cli
from tests.real import FOLDER, TRADES, needs

RELATIVE = Decimal("1e-6")
"""Of the published cash: the trades' prices are published with about 8 significant digits, the cash with 13."""

pytestmark = needs(TRADES)


def exact_cash_by_day() -> dict[str, Decimal]:
    """Cash at the close of each day that has trades, added up by hand."""
    cash, by_day = Decimal(0), {}
    with gzip.open(TRADES, "rt") as lines:
        for line in lines:
            command = json.loads(line, parse_float=str, parse_int=str)
            data = command["data"]
            sign = {"DepositCash": 1, "SellStock": 1, "BuyStock": -1}.get(command["type"], 0)
            if sign:
                amount = data.get("amount")
                cash += sign * (Decimal(amount) if amount else Decimal(data["quantity"]) * Decimal(data["price"]))
            by_day[command["time"][:10]] = cash
    return by_day


def test_cash_of_each_day_and_shares_at_the_end(onefact: Cli, stack: Settings) -> None:
    result = onefact.json("publish", "trading", str(TRADES), "--wait")
    assert (result["published"], result["accepted"], result["refused"]) == (4751, 4751, 0)
    exact = exact_cash_by_day()
    with (FOLDER / "cash-by-day-2004-2006.csv").open() as rows, Reader(stack) as reader:
        days = list(csv.DictReader(rows))
        assert len(days) == 750
        for row in days:
            found = reader.read("portfolio", ("pyfolio-a",), as_of=row["date"])
            assert found is not None
            assert found["cash"] == exact[row["date"]]
            assert abs(found["cash"] - Decimal(row["cash"])) <= RELATIVE * abs(Decimal(row["cash"]))
    shares = onefact.json("read", "portfolio", "pyfolio-a")["holdings"]
    assert shares == {k: str(v) for k, v in json.loads((FOLDER / "shares-end-2006.json").read_text()).items()}
