"""What must become of each record, by the rules of the README, held against what became of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime
from decimal import Decimal, getcontext
from typing import Any

from confluent_kafka import Message

from eventlog.settings import Settings
from projections import Reader
from tests.faults.poison.wire import TYPES, Avro, Log, call

READERS = {
    "trading.commands": {"trading.decider"},
    "trading.events": {"trading.enricher", "trading.portfolio", "trading.ledger"},
    "market.prices": {"market.prices"},
}
REQUIRED = ("ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time")


def text(raw: bytes | None, limit: int = 4096) -> str:
    raw = raw or b""
    if len(raw) > limit:
        raise ValueError("too long")
    return raw.decode()


def moment(raw: bytes) -> datetime:
    found = datetime.fromisoformat(raw.decode())
    if found.tzinfo is None:
        raise ValueError("no zone")
    try:
        return found.astimezone(UTC)
    except OverflowError:
        raise ValueError("outside of the calendar") from None


class Judge:
    """Of the topics as they are once everybody has read them."""

    def __init__(self, settings: Settings, avro: Avro) -> None:
        self.settings, self.avro = settings, avro

    def judged(  # noqa: PLR0911 - a table of reasons
        self,
        topic: str,
        record: Message,
        seen: set[tuple[bytes, bytes]],
    ) -> str | tuple[str, dict[str, Any]]:
        """What must become of a record: its type and fields, `repeated`, or the code of its dead letter."""
        key = record.key()
        assert not isinstance(key, str)
        if not key:
            return "no_key"
        if len(key) > 4096:
            return "bad_header"
        try:
            headers: dict[str, Any] = dict([*(call(record) or [])])
        except SystemError:
            return "bad_header"
        if not all(headers.get(name) for name in REQUIRED):
            return "missing_header"
        found = self.avro.judge(record.value(), topic)  # type: ignore[arg-type]
        if topic != "trading.commands":
            return found if self.readable(key, headers) else "bad_header"
        if isinstance(found, str):
            return found
        try:
            stream = key.decode()
            moment(headers["ce_time"])
            if stream != found[1]["portfolio_id"]:
                return "wrong_key"
            for name in ("ce_id", "ce_correlationid", "ce_tenant", "traceparent"):
                text(headers.get(name))
        except ValueError:
            return "bad_header"
        if (key, headers["ce_id"]) in seen:
            return "repeated"
        seen.add((key, headers["ce_id"]))
        return found

    @staticmethod
    def readable(key: bytes, headers: dict[str, Any]) -> bool:
        """Whether a fact says who, when and because of what."""
        sequence = headers.get("ce_sequence") or b"0"
        try:
            key.decode()
            moment(headers["ce_time"])
            for name in ("ce_source", "ce_type", "ce_correlationid"):
                text(headers.get(name))
            for name in ("ce_id", "ce_causationid"):
                text(headers.get(name), 12288)
        except ValueError:
            return False
        return bool(sequence.isdigit()) and int(sequence) < 1 << 63

    def check(self) -> dict[str, Any]:
        """Hold what must be against what is; raises `AssertionError` saying which record."""
        report: dict[str, Any] = {"codes": Counter(), "counts": Counter()}
        taken: dict[str, list[tuple[Message, str, dict[str, Any]]]] = {}
        for topic in TYPES:
            log, seen = Log.of(self.settings.kafka, topic), set[tuple[bytes, bytes]]()
            letters = self.letters(topic)
            taken[topic], repeated = [], 0
            for place, message in sorted(log.records.items()):
                due = self.judged(topic, message, seen)
                about = letters.pop(place, {})
                if isinstance(due, str) and due != "repeated":
                    report["codes"][due] += 1
                    report["counts"][f"{topic} dead"] += 1
                    got = {role: code for role, (code, _) in about.items()}
                    assert got == dict.fromkeys(READERS[topic], due), f"{topic} {place}: {got}, must be {due}"
                    for role, (_, letter) in about.items():
                        assert (letter.value() or b"") == (message.value() or b""), f"{topic} {place} {role}: bytes"
                else:
                    assert not about, f"{topic} {place} is dead by {about}, must be {due}"
                    repeated += due == "repeated"
                    if due != "repeated":
                        taken[topic].append((message, *due))
            assert not letters, f"letters about nothing: {list(letters)[:3]}"
            report["counts"][f"{topic} input"] = len(log.records)
            report["counts"]["repeated"] += repeated
        report["counts"] |= self.check_decided(taken["trading.commands"], report["counts"]["repeated"])
        self.check_models(taken)
        counts = report["counts"]
        dead = counts["trading.commands dead"]
        assert counts["trading.commands input"] == counts["accepted"] + counts["refused"] + counts["repeated"] + dead
        return report

    def letters(self, topic: str) -> dict[tuple[int, int], dict[str, tuple[str, Message]]]:
        found: dict[tuple[int, int], dict[str, tuple[str, Message]]] = defaultdict(dict)
        for message in Log.of(self.settings.kafka, f"{topic}.dead").records.values():
            said = {
                n.removeprefix("onefact_dead_"): v for n, v in message.headers() or () if n.startswith("onefact_dead_")
            }
            role = said["role"].decode()  # type: ignore[union-attr]
            assert said["reason"], "a letter without a reason"
            place = (int(said["partition"]), int(said["offset"]))  # type: ignore[arg-type]
            assert role not in found[place], f"two letters about {topic} {place} of {role}"
            found[place][role] = (said["code"].decode(), message)  # type: ignore[union-attr]
        return found

    def check_decided(self, commands: list[tuple[Message, str, dict[str, Any]]], repeated: int) -> Counter[str]:
        due = Counter((m.key(), dict(m.headers() or ())["ce_id"]) for m, _, _ in commands)
        assert set(due.values()) <= {1}

        def causes(topic: str) -> Counter[tuple[Any, Any]]:
            found: Counter[tuple[Any, Any]] = Counter()
            for message in Log.of(self.settings.kafka, topic).records.values():
                try:
                    headers = dict(call(message) or ())
                except SystemError:
                    continue
                if (headers.get("ce_source") or b"").startswith(b"onefact/"):
                    found[message.key(), headers["ce_causationid"]] += 1
            return found

        accepted, refused = causes("trading.events"), causes("trading.rejections")
        assert accepted.keys() & refused.keys() == set(), "decided both ways"
        both = accepted + refused
        assert both == due, f"not decided once: {list((both - due) + (due - both))[:3]}"
        answers = causes("trading.outcomes")
        assert answers.total() == repeated, f"{answers.total()} answers to {repeated} repeated commands"
        return Counter(accepted=accepted.total(), refused=refused.total())

    def check_models(self, taken: dict[str, list[tuple[Message, str, dict[str, Any]]]]) -> None:
        getcontext().prec = 200
        cash: dict[str, Decimal] = defaultdict(Decimal)
        holdings: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
        ledger = set()
        for message, kind, data in taken["trading.events"]:
            pid, sequence = data["portfolio_id"], dict(message.headers() or ()).get("ce_sequence") or b"0"
            ledger.add((pid, int(sequence), kind))  # type: ignore[arg-type]
            sign = {"CashDeposited": 1, "CashWithdrawn": -1, "StockBought": -1, "StockSold": 1}.get(kind, 0)
            cash[pid] += sign * data.get("amount", 0)
            if "symbol" in data:
                holdings[pid][data["symbol"]] -= sign * data["quantity"]
        prices = {data["symbol"]: data["price"] for _, _, data in taken["market.prices"]}
        held = {n: h for n, shares in holdings.items() if (h := {s: q for s, q in shares.items() if q})}
        with Reader(self.settings) as reader:
            rows = {row["portfolio_id"]: row for row in reader.read("portfolio")}  # type: ignore[union-attr,index,call-overload]
            same("cash", {n: r["cash"] for n, r in rows.items() if r["cash"] is not None}, cash)
            same("holdings", {n: r["holdings"] for n, r in rows.items() if r["holdings"]}, held)
            read = {(r["portfolio_id"], r["version"]): r["type"] for r in reader.read("ledger")}  # type: ignore[union-attr,index,call-overload]
            same("ledger", read, {(pid, version): kind for pid, version, kind in ledger})
            same("prices", {r["symbol"]: r["price"] for r in reader.read("prices")}, prices)  # type: ignore[union-attr,index,call-overload]


def same(what: str, found: dict[Any, Any], due: dict[Any, Any]) -> None:
    """Fail, naming some of what differs."""
    differing = [key for key in found.keys() | due.keys() if found.get(key) != due.get(key)]
    assert not differing, f"{what}: {[(k, found.get(k), due.get(k)) for k in differing[:3]]!r} of {len(differing)}"
