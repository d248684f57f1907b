"""Workers replaced one by one under load by a release that decides differently, and back again.

Each command is decided once, by one release, and its facts say by which.
"""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from deploy.cli.facts import facts_of
from eventlog.codec import Codec
from eventlog.envelope import Record
from eventlog.settings import Settings
from producers import Publisher
from tests.backing import Backing
from tests.evolution.bonus import BONUS
from tests.runtime.counting import COUNTING, Count, Counted
from tests.runtime.harness import Workers, header, read_all, seeded, wait_until

NAMES = ("a", "b")
ROLES = ("counting.decider", "counting.enricher")
PAUSE_S = 0.002
RECOVERY_S = 120


class Load:
    """Commands to counters of its own, one after another until it is stopped; one in twenty is sent again later."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._random = seeded()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.sent: dict[str, Count] = {}
        self.error: BaseException | None = None

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            with Publisher(self._settings, source="drill", domains=[COUNTING]) as publisher:
                while not self._stop.is_set():
                    number = len(self.sent)
                    again = number > 100 and self._random.random() < 0.05
                    command_id = f"drill:{number - self._random.randrange(1, 100) if again else number}"
                    fresh = Count(
                        counter_id=f"drill-{self._random.randrange(200)}", number=self._random.randrange(1, 9)
                    )
                    publisher.send(self.sent.setdefault(command_id, fresh), id=command_id)
                    time.sleep(PAUSE_S)
        except BaseException as error:
            self.error = error

    def goes_on(self, commands: int = 300) -> None:
        """Wait for as many more commands."""
        wanted = len(self.sent) + commands
        wait_until(lambda: len(self.sent) >= wanted or self.error is not None, RECOVERY_S, "the load goes on")
        assert self.error is None


@pytest.fixture
def workers(backing: Backing, tmp_path: Path) -> Iterator[Workers]:
    started = Workers(backing.env | {"ONEFACT_CODE_VERSION": "built"}, tmp_path, "tests.evolution.worker")
    yield started
    started.stop()


def start(workers: Workers, name: str, release: str) -> None:
    workers.env["RELEASE"] = release
    workers.start(name, *ROLES)


def replace_one_by_one(workers: Workers, load: Load, release: str) -> None:
    for name in NAMES:
        load.goes_on()
        workers.signal(name, signal.SIGTERM)
        assert workers.processes[name].wait(60) == 0
        start(workers, name, release)
        workers.wait_ready()
    load.goes_on()


def of_the_drill(settings: Settings, kind: str) -> list[Record]:
    return [r for r in read_all(settings, COUNTING.topic(kind)) if (r.key or b"").startswith(b"drill-")]


def test_upgrade_and_roll_back(settings: Settings, codec: Codec, workers: Workers) -> None:
    for name in NAMES:
        start(workers, name, "1")
    workers.wait_ready()
    with Load(settings) as load:
        replace_one_by_one(workers, load, "2")
        replace_one_by_one(workers, load, "1")
    assert load.error is None
    enriched = lambda: of_the_drill(settings, "enriched")  # noqa: E731
    wait_until(lambda: len(enriched()) >= len(load.sent), RECOVERY_S, "everything enriched", workers.logs)

    events = of_the_drill(settings, "events")
    assert Counter(header(r, "ce_causationid") for r in events) == Counter(list(load.sent)), (
        "a command lost or decided twice"
    )
    totals: Counter[str] = Counter()
    versions: Counter[str] = Counter()
    for record in events:
        event = codec.decode(record.value, COUNTING.topic("events"))
        assert isinstance(event, Counted)
        release = header(record, "ce_codeversion").removesuffix("+built")
        given = load.sent[header(record, "ce_causationid")].number
        assert event.number == given + (BONUS if release == "2" else 0), "the header names another decider"
        totals[event.stream] += event.number
        versions[event.stream] += 1
        assert (event.total, int(header(record, "ce_sequence"))) == (totals[event.stream], versions[event.stream])
    for kind, records in (("events", events), ("enriched", enriched())):
        assert len(records) == len(load.sent)
        assert releases_by_partition(records) == {
            partition: ["1+built", "2+built", "1+built"] for partition in range(COUNTING.partitions)
        }, kind

    stream = events[0].key.decode()  # type: ignore[union-attr]
    shown = [fact["code"] for fact in facts_of(stream, [COUNTING], settings, everything=False)]
    assert shown == [header(r, "ce_codeversion") for r in events if r.key == events[0].key]


def releases_by_partition(records: list[Record]) -> dict[int, list[str]]:
    """The releases that wrote each partition, in their order, each as often as it took over."""
    ordered = sorted(records, key=lambda r: (r.partition, r.offset))
    return {
        partition: [release for release, _ in groupby(header(r, "ce_codeversion") for r in mine)]
        for partition, mine in groupby(ordered, key=lambda r: r.partition)
    }
