"""Adds up the log by itself and says what must be there: nothing here shares code with what folds in the product.

Each look takes only what is new. `Violation` names the invariant:
I1 no acknowledged command lost; I2 none decided twice, order per stream kept, versions without gaps; I3 every model
equals a fold of the log; I4 money sums exactly; I5 input = accepted + refused + deduplicated + dead-lettered;
I6 recovered within 60 s.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tests.faults.decisions import Account
from tests.faults.log import Fact

TOPICS = (
    "trading.commands", "trading.events", "trading.rejections", "trading.outcomes", "trading.enriched",
    "market.prices", "trading.commands.dead", "trading.events.dead", "trading.enriched.dead", "market.prices.dead",
)  # fmt: skip
TRADES = ("StockBought", "StockSold")


class Violation(Exception):
    """An invariant does not hold."""

    def __init__(self, invariant: str, what: str) -> None:
        super().__init__(f"{invariant}: {what}")
        self.invariant = invariant


@dataclass
class Stream:
    """One portfolio: what must have been decided, and what the log says was."""

    account: Account = field(default_factory=Account)
    asked: set[str] = field(default_factory=set)
    expected: list[tuple[str, str, dict[str, Any], str, dict[str, tuple[Decimal, Decimal, Decimal]]]] = field(
        default_factory=list
    )
    """Per version: command id, type, fields, time, and the traded holding (quantity, average cost, realised)."""
    events: list[Fact] = field(default_factory=list)
    refusals: dict[str, str] = field(default_factory=dict)
    """Command id to code, as it must be."""
    refused: Counter[str] = field(default_factory=Counter)
    repeated: Counter[str] = field(default_factory=Counter)
    """Command id to how often it came again."""
    answered: Counter[str] = field(default_factory=Counter)
    dead: Counter[str] = field(default_factory=Counter)
    enriched: list[Fact] = field(default_factory=list)
    cash: list[Decimal] = field(default_factory=list)
    """After each version."""
    checked: int = 0
    valued: int = 0
    """Versions that have their PortfolioValueUpdated."""
    profited: int = 0
    enriched_checked: int = 0

    def unfinished(self) -> list[str]:
        """What is not there yet."""
        missing = [f"event {i + 1} of {self.expected[i][0]}" for i in range(len(self.events), len(self.expected))]
        missing += [f"refusal of {c}" for c in self.refusals if not self.refused[c]]
        missing += [f"answer to {c}" for c, n in self.repeated.items() if self.answered[c] < n]
        return missing

    def not_enriched(self) -> bool:
        return self.valued < len(self.events) or self.enriched_checked < len(self.enriched)


class Yardstick:
    """Every stream, from the log."""

    def __init__(self) -> None:
        self.streams: dict[str, Stream] = defaultdict(Stream)
        self.prices: dict[str, Fact] = {}
        self.in_log: dict[tuple[int, int], str] = {}
        """(partition, offset) to command id."""
        self.letters = 0
        self._touched: set[str] = set()
        self._suspects: dict[str, Violation] = {}
        """Streams whose outputs were ahead of their commands at the last look: read a moment too early, or wrong."""

    def take(self, fact: Fact) -> None:
        """One more committed record."""
        if fact.topic == "market.prices":
            self.prices[fact.key] = fact
            return
        if fact.topic.endswith(".dead"):
            self.letters += 1
            self.streams[fact.headers.get("onefact_dead_key", "")].dead[fact.headers.get("ce_id", "")] += 1
            return
        stream = self.streams[fact.key]
        self._touched.add(fact.key)
        match fact.topic:
            case "trading.commands":
                self._command(stream, fact)
            case "trading.events":
                stream.events.append(fact)
            case "trading.rejections":
                stream.refused[fact.headers["ce_causationid"]] += 1
                self._check_refusal(stream, fact)
            case "trading.outcomes":
                stream.answered[fact.headers["ce_causationid"]] += 1
            case "trading.enriched":
                stream.enriched.append(fact)

    def _command(self, stream: Stream, fact: Fact) -> None:
        command = fact.headers["ce_id"]
        self.in_log[fact.partition, fact.offset] = command
        if command in stream.asked:
            stream.repeated[command] += 1
            return
        stream.asked.add(command)
        decided = stream.account.decide(fact.type, fact.data)
        if isinstance(decided, str):
            stream.refusals[command] = decided
            return
        kind, fields = decided
        held = {}
        if kind in TRADES:
            holding = stream.account.shares[fields["symbol"]]
            held[fields["symbol"]] = (holding.quantity, holding.average, holding.realised)
        stream.expected.append((command, kind, fields, fact.headers["ce_time"], held))
        stream.cash.append(stream.account.cash)

    @staticmethod
    def _check_refusal(stream: Stream, fact: Fact) -> None:
        command, code = fact.headers["ce_causationid"], fact.data["code"]
        if stream.refused[command] > 1:
            raise Violation("I2", f"{command} was refused twice")
        if stream.refusals.get(command, code) != code:
            raise Violation("I2", f"{command} was refused as {code}, must be {stream.refusals[command]}")

    def check_new(self) -> None:
        """Hold what was read since the last look against what it must be."""
        before, self._suspects = self._suspects, {}
        touched, self._touched = self._touched | before.keys(), set()
        for key in touched:
            stream = self.streams[key]
            check_events(key, stream)
            check_enriched(key, stream)
            suspect = ahead(key, stream)
            if suspect is not None and key in before:
                raise suspect
            if suspect is not None:
                self._suspects[key] = suspect

    def check_acknowledged(self, acked: dict[tuple[int, int], str]) -> None:
        """Every confirmed command is in the log where its confirmation says."""
        lost = [f"{command} at {place}" for place, command in acked.items() if self.in_log.get(place) != command]
        if lost:
            raise Violation("I1", f"{len(lost)} acknowledged commands are not in the log, among them {lost[:3]}")

    def check_sums(self, keys: Iterable[str]) -> Counter[str]:
        """I4 and I5 over the streams of a case, which has come to its end; the numbers of I5."""
        counts: Counter[str] = Counter()
        for key in keys:
            stream = self.streams[key]
            flow = {"CashDeposited": 1, "CashWithdrawn": -1, "StockSold": 1, "StockBought": -1}
            events = stream.events
            cash = sum((flow.get(e.type, 0) * e.data.get("amount", Decimal(0)) for e in events), Decimal(0))
            if cash != stream.account.cash:
                raise Violation("I4", f"{key} has {cash} by its events, {stream.account.cash} by its commands")
            earned = stream.account.cash - stream.account.paid_in
            invested = sum((h.cost - h.realised for h in stream.account.shares.values()), Decimal(0))
            if earned != -invested:
                raise Violation("I4", f"{key}: cash moved by trades {earned}, cost less profit {invested}")
            counts["accepted"] += len(events)
            counts["refused"] += sum(stream.refused.values())
            counts["deduplicated"] += sum(stream.answered.values())
            counts["dead"] += sum(stream.dead.values())
            counts["input"] += len(stream.asked) + sum(stream.repeated.values())
        if counts["input"] != sum(counts[name] for name in ("accepted", "refused", "deduplicated", "dead")):
            raise Violation("I5", f"the numbers do not add up: {dict(counts)}")
        return counts

    def unfinished(self, keys: Iterable[str]) -> list[str]:
        return [missing for key in keys for missing in self.streams[key].unfinished()]

    def not_enriched(self, keys: Iterable[str]) -> list[str]:
        found = ((key, self.streams[key]) for key in keys)
        return [f"{key} is enriched to {s.valued} of {len(s.events)}" for key, s in found if s.not_enriched()]


def check_events(key: str, stream: Stream) -> None:
    for at in range(stream.checked, min(len(stream.events), len(stream.expected))):
        event, (command, kind, fields, time, _) = stream.events[at], stream.expected[at]
        cause, version = event.headers["ce_causationid"], int(event.headers["ce_sequence"])
        if any(e.headers["ce_causationid"] == cause for e in stream.events[:at]):
            raise Violation("I2", f"{cause} of {key} was decided twice")
        if version != at + 1:
            raise Violation("I2", f"{key} has version {version} where {at + 1} must be")
        if cause != command:
            raise Violation("I2", f"{key} version {version} is of {cause}, the log's order wants {command}")
        if event.type != kind or event.headers["ce_time"] != time:
            raise Violation("I2", f"{key} version {version} is {event.type} at {event.headers['ce_time']}, not {kind}")
        if event.data != fields:
            raise Violation("I4", f"{key} version {version} says {event.data}, must say {fields}")
        stream.checked = at + 1


def ahead(key: str, stream: Stream) -> Violation | None:
    """What no command that was read so far leads to."""
    if len(stream.events) > len(stream.expected):
        extra = stream.events[len(stream.expected)]
        cause = extra.headers["ce_causationid"]
        return Violation("I2", f"{key} has an event too many, {extra.headers['ce_id']} of {cause}")
    for command in stream.refused:
        if command not in stream.refusals:
            return Violation("I2", f"{command} of {key} was refused and must not be")
    for command, count in stream.answered.items():
        if count > stream.repeated[command]:
            return Violation(
                "I5", f"{command} of {key} was answered {count} times, came again {stream.repeated[command]}"
            )
    return None


def check_enriched(key: str, stream: Stream) -> None:
    """Each event's facts follow it once, in order: a trade's profit, the portfolio's value, limits gone over."""
    for at in range(stream.enriched_checked, len(stream.enriched)):
        fact = stream.enriched[at]
        version = fact.data["version"]
        if int(fact.headers["ce_sequence"]) != at + 1:
            raise Violation("I2", f"enriched {key} has number {fact.headers['ce_sequence']} where {at + 1} must be")
        if version > stream.checked:
            return  # its event is read in the next look
        event, held = stream.events[version - 1], stream.expected[version - 1][4]
        if fact.headers["ce_causationid"] != event.headers["ce_id"]:
            raise Violation("I2", f"{fact.type} of {key} is of {fact.headers['ce_causationid']}, not of {version}")
        match fact.type:
            case "TradeProfitCalculated":
                if version != stream.valued + 1 or stream.profited >= version:
                    raise Violation("I2", f"the profit of {key} version {version} comes twice or out of turn")
                holding = held[fact.data["symbol"]]
                found = (fact.data["quantity"], fact.data["average_cost"], fact.data["realised_profit"])
                if found != holding:
                    raise Violation("I4", f"{key} version {version}: holding {found}, must be {holding}")
                stream.profited = version
            case "PortfolioValueUpdated":
                if version != stream.valued + 1 or (event.type in TRADES and stream.profited != version):
                    raise Violation("I2", f"the value of {key} version {version} comes after {stream.valued}")
                if fact.data["cash"] != stream.cash[version - 1]:
                    wanted = stream.cash[version - 1]
                    raise Violation("I4", f"{key} version {version}: cash {fact.data['cash']}, must be {wanted}")
                stream.valued = version
            case _:
                if version != stream.valued:
                    raise Violation("I2", f"{fact.type} of {key} version {version} comes after {stream.valued}")
        stream.enriched_checked = at + 1
