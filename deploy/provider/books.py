"""The provider's books: what was charged and refunded, each once per key of idempotence, in a file."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal

Kind = Literal["charge", "refund"]
TABLE = """
CREATE TABLE IF NOT EXISTS entries (
    key TEXT PRIMARY KEY, kind TEXT NOT NULL, order_id TEXT NOT NULL, amount TEXT NOT NULL, currency TEXT NOT NULL,
    charge TEXT, asked TEXT NOT NULL, status TEXT NOT NULL, reason TEXT, reference TEXT UNIQUE NOT NULL,
    http INTEGER NOT NULL, time TEXT NOT NULL)
"""
FIELDS = ("key", "order_id", "amount", "currency", "charge", "status", "reason", "reference", "time")


class Wrong(Exception):
    """A request that can never be right; nothing is written down."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True)
class Answer:
    """What the provider says, the first time and every other time."""

    status: int
    body: dict[str, Any]
    repeated: bool = False


class Books:
    """One file; every entry is on disk when `charge` or `refund` returns."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute(TABLE)

    def close(self) -> None:
        self._db.close()

    def charge(self, key: str, asked: dict[str, Any], declined: str | None) -> Answer:
        """Charge, or decline for the reason given. Raises `Wrong`."""
        request = _request(asked)
        known = self._known(key, "charge", request)
        if known is not None:
            return known
        if declined is not None:
            return self._enter(key, "charge", request, 402, "declined", declined)
        return self._enter(key, "charge", request, 201, "approved", None)

    def refund(self, key: str, asked: dict[str, Any]) -> Answer:
        """Give back what was charged under the key `charge`, all or part of it.

        Where nothing was charged under that key, nothing ever will be: a charge that comes later is declined.
        Raises `Wrong`.
        """
        request = _request(asked)
        if not request["charge"]:
            raise Wrong(400, "the key of a charge is wanted")
        known = self._known(key, "refund", request)
        if known is not None:
            return known
        charge = self._db.execute("SELECT * FROM entries WHERE key = ?", [request["charge"]]).fetchone()
        if charge is None or charge["status"] != "approved":
            if charge is None:
                self._enter(request["charge"], "charge", request | {"charge": None}, 402, "declined", "voided")
            return self._enter(key, "refund", request, 200, "nothing", None)
        if (charge["kind"], charge["order_id"], charge["currency"]) != (
            "charge",
            request["order_id"],
            request["currency"],
        ):
            raise Wrong(422, "that key is of another charge")
        returned = self._db.execute(
            "SELECT amount FROM entries WHERE kind = 'refund' AND charge = ?", [request["charge"]]
        ).fetchall()
        if sum((Decimal(row["amount"]) for row in returned), Decimal(request["amount"])) > Decimal(charge["amount"]):
            raise Wrong(422, "more than was charged")
        return self._enter(key, "refund", request, 201, "refunded", None)

    def all(self) -> dict[str, list[dict[str, Any]]]:
        """Every entry, oldest first."""
        rows = self._db.execute("SELECT * FROM entries ORDER BY rowid").fetchall()
        return {
            f"{kind}s": [{name: row[name] for name in FIELDS} for row in rows if row["kind"] == kind]
            for kind in ("charge", "refund")
        }

    def _known(self, key: str, kind: Kind, request: dict[str, Any]) -> Answer | None:
        row = self._db.execute("SELECT * FROM entries WHERE key = ?", [key]).fetchone()
        if row is None:
            return None
        if row["kind"] != kind or row["asked"] != _text(request):
            raise Wrong(422, "this key of idempotence was used for another request")
        return Answer(row["http"], _body(row["status"], row["reason"], row["reference"]), repeated=True)

    def _enter(
        self, key: str, kind: Kind, request: dict[str, Any], http: int, status: str, reason: str | None
    ) -> Answer:
        number = self._db.execute("SELECT count(*) + 1 FROM entries").fetchone()[0]
        reference = f"{'ch' if kind == 'charge' else 're'}_{number:06d}"
        entry = (
            key, kind, request["order_id"], request["amount"], request["currency"], request["charge"], _text(request),
            status, reason, reference, http, datetime.now(UTC).isoformat(),
        )  # fmt: skip
        self._db.execute(f"INSERT INTO entries VALUES ({', '.join('?' * len(entry))})", entry)  # noqa: S608 - places only
        return Answer(http, _body(status, reason, reference))


def _request(asked: dict[str, Any]) -> dict[str, Any]:
    """The fields of a request, each as text."""
    order_id, currency, charge = asked.get("order_id"), asked.get("currency"), asked.get("charge")
    if not isinstance(order_id, str) or not order_id or not isinstance(currency, str) or len(currency) != 3:
        raise Wrong(400, "order_id and a currency of three letters are wanted")
    try:
        amount = Decimal(asked.get("amount") or "")
        right = amount.is_finite() and amount > 0
    except (InvalidOperation, TypeError, ValueError):
        right = False
    if not right:
        raise Wrong(400, "amount is no number above 0")
    return {"order_id": order_id, "amount": f"{amount:f}", "currency": currency, "charge": charge and str(charge)}


def _body(status: str, reason: str | None, reference: str) -> dict[str, Any]:
    return {"status": status, "reference": reference} | ({"reason": reason} if reason else {})


def _text(request: dict[str, Any]) -> str:
    return json.dumps(request, sort_keys=True)
