"""One case: a load of its own, a fault, and the invariants afterwards."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.faults.load import Client, Command, make_commands
from tests.faults.log import committed
from tests.faults.models import AWAY, SOURCES, differences, expected
from tests.faults.stand import RECOVERY_S, Stand
from tests.faults.yardstick import Violation

LOOK_S = 0.25
CLAIMS_EVERY_S = 2.0
PROCESSORS = {"trading.decider": "trading.commands", "trading.enricher": "trading.events"}


class Skipped(Exception):
    """The machine, or the product, does not have what the case needs."""


@dataclass
class Case:
    """What the kinds are written with."""

    stand: Stand
    kind: str
    number: int
    seed: int
    rng: Random = field(init=False)
    prefix: str = field(init=False)
    keys: set[str] = field(default_factory=set)
    clients: list[Client] = field(default_factory=list)
    recovery_s: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    _publishing: list[threading.Thread] = field(default_factory=list)
    _made: int = 0

    def __post_init__(self) -> None:
        self.rng = Random(f"{self.seed}/{self.kind}/{self.number}")
        self.prefix = f"{self.kind}{self.number}-{self.rng.randrange(1 << 30):x}"
        self.acked_before = len(self.stand.client.acked)

    def commands(self, low: int, high: int) -> list[Command]:
        """A load on portfolios that no other case, and no other load, uses."""
        self._made += 1
        made = make_commands(self.rng, f"{self.prefix}.{self._made}", self.rng.randint(low, high))
        self.keys |= {command.stream for command in made}
        return made

    def publish(self, commands: Sequence[Command], seconds: float = 0.0, client: Client | None = None) -> None:
        """Publish and wait until it is confirmed."""
        (client or self.stand.client).publish(commands, seconds)

    def start_publishing(self, commands: Sequence[Command], seconds: float, client: Client | None = None) -> None:
        """Publish beside what happens next."""
        thread = threading.Thread(target=self.publish, args=(commands, seconds, client))
        thread.start()
        self._publishing.append(thread)

    def join(self) -> None:
        """Wait until what is being published is confirmed."""
        for thread in self._publishing:
            thread.join()
        self._publishing.clear()

    def another_client(self) -> Client:
        client = Client(self.stand.servers, self.stand.encoder)
        self.clients.append(client)
        return client

    def settle(self, since: float) -> None:
        """Wait until all that was published is decided, enriched and in every model; I6 counts from `since`."""
        self.join()
        end_by = max(time.monotonic(), since) + RECOVERY_S
        claims = Claims(self.stand)
        while True:
            missing = self._missing()
            if not missing:
                break
            definite = claims.contradict(missing)
            if definite is not None:
                raise definite
            if time.monotonic() > end_by:
                raise Violation("I6", f"not within {RECOVERY_S:g} s: {missing[1]}")
            time.sleep(LOOK_S)
        self.recovery_s = max(self.recovery_s, time.monotonic() - since)
        if self.recovery_s > RECOVERY_S:
            raise Violation("I6", f"recovered after {self.recovery_s:.1f} s")

    def _missing(self) -> tuple[str, str] | None:
        """(Stage, what is not there yet) or None; raises `Violation` at what can never become right."""
        stand = self.stand
        stand.look()
        yardstick = stand.yardstick
        acked = set(stand.client.acked.items()) | {a for c in self.clients for a in c.acked.items()}
        if any(place not in yardstick.in_log for place, _ in acked):
            return "log", "acknowledged commands are not in the log yet"
        if found := yardstick.unfinished(self.keys):
            return "trading.decider", f"{len(found)} undecided, among them {found[:2]}"
        if found := yardstick.not_enriched(self.keys):
            return "trading.enricher", f"{len(found)} not enriched, among them {found[:2]}"
        keys = sorted(self.keys)
        try:
            held = stand.models.tables(keys) | stand.models.hashes(keys)
        except AWAY as error:
            return "stores", f"{type(error).__name__}: {error}"
        if differ := differences(expected(yardstick, keys), held):
            return "models", differ
        return None

    def check_whole(self) -> None:
        """Every row of every model, of all cases so far."""
        yardstick, models = self.stand.yardstick, self.stand.models
        differ = differences(expected(yardstick, list(yardstick.streams)), models.tables(None) | models.hashes(None))
        if differ:
            raise Violation("I3", f"whole models: {differ}")

    def finish(self) -> None:
        """The sums of the case, once it has settled."""
        self.stand.look()
        for client in (self.stand.client, *self.clients):
            self.stand.yardstick.check_acknowledged(client.acked)
            if client.failed:
                raise Violation(
                    "I6", f"{len(client.failed)} commands could not be published: the broker was away too long"
                )
        self.stand.client.acked.clear()
        self.counts = dict(self.stand.yardstick.check_sums(self.keys))

    def close(self) -> None:
        """Whatever became of it."""
        self.join()
        for client in self.clients:
            client.close()


class Claims:
    """What roles say of themselves: one that says it is at the end, and is wrong, will not become right by waiting."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._asked = time.monotonic()
        self._contradicted: str | None = None

    def contradict(self, missing: tuple[str, str]) -> Violation | None:
        """The violation, when the same stage was at its end at two looks and something was missing at both."""
        if time.monotonic() - self._asked < CLAIMS_EVERY_S:
            return None
        self._asked = time.monotonic()
        stage, what = missing
        try:
            done = self._at_end(stage)
        except AWAY:
            done = False
        if not done:
            self._contradicted = None
            return None
        if self._contradicted == stage:
            return Violation("I3" if stage == "models" else "I1", f"{stage} is at the end, and yet: {what}")
        self._contradicted = stage
        return None

    def _at_end(self, stage: str) -> bool:
        following = self._stand.log.next
        if stage in PROCESSORS:
            topic = PROCESSORS[stage]
            ends = {p: n for (t, p), n in following.items() if t == topic}
            reached = committed(self._stand.servers, stage, topic, ends)
            return all(reached.get(p, 0) >= n for p, n in ends.items())
        if stage == "models":
            progress = self._stand.models.progress()
            return all(
                progress.get(model, {}).get(place, 0) >= n
                for model, topics in SOURCES.items()
                for place, n in following.items()
                if place[0] in topics
            )
        return False


Kind = Callable[[Case], None]
