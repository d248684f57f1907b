"""Whatever the object store does, what it holds in the end is each record once."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from eventlog.archive.objects import Objects
from eventlog.archive.sink import PartitionSink
from eventlog.archive.table import Table
from eventlog.errors import Fenced, NotFound, ServiceAway
from eventlog.upkeep.verify import verify
from tests.archive.conftest import Archive
from tests.archive.faulty import FAULTS, FaultyStore
from tests.archive.test_sink import contents, drawn, of
from tests.runtime.harness import seeded


def archived_through(store: FaultyStore, archive: Archive, records: list) -> None:
    """Write files of 20 records, opening again after every error, as a runner does."""
    objects = Objects(archive.settings.model_copy(update={"s3": store.url}))
    sink = PartitionSink(objects, Table(objects, archive.topic), 0)
    for _ in range(50):
        try:
            begin = sink.open(lambda: 0)
            wanted = [record for record in records if record.offset >= begin]
            for start in range(0, len(wanted), 20):
                sink.add(wanted[start : start + 20])
                sink.flush()
        except (ServiceAway, Fenced):
            continue
        return
    raise AssertionError("the store never let the work be done")


def check(archive: Archive, records: list) -> None:
    assert contents(archive.read(0, records[-1].offset + 1)) == contents(records)
    assert not verify(archive.objects, None, archive.topic, 0).faults


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_in_every_fifth_request(archive: Archive, fault: str) -> None:
    draw: random.Random = seeded()
    records = of(archive.topic, drawn(60))
    with FaultyStore(archive.settings.s3, lambda *_: fault if draw.random() < 0.2 else None) as store:
        archived_through(store, archive, records)
    check(archive, records)
    assert store.done[fault] > 0


def test_commits_whose_answers_are_lost_are_made_once(archive: Archive) -> None:
    """The hardest one: the commit is there, its writer hears nothing, and the store refuses it the second time."""
    records = of(archive.topic, drawn(60))
    lost = lambda method, path, _: "answer lost" if method == "PUT" and "_delta_log" in path else None  # noqa: E731
    counted = {"number": 0}

    def choose(method: str, path: str, number: int) -> str | None:
        if fault := lost(method, path, number):
            counted["number"] += 1
            return fault if counted["number"] % 2 else None
        return None

    with FaultyStore(archive.settings.s3, choose) as store:
        archived_through(store, archive, records)
    check(archive, records)
    assert len(archive.segments()) == 3
    assert store.done["answer lost"] >= 2


@pytest.mark.parametrize("ask", [Objects.get, Objects.head, lambda objects, key: objects.copy(key, key)])
def test_half_of_an_answer_is_none(archive: Archive, ask: Callable[[Objects, str], object]) -> None:
    """Also where it is the half of an error, whose body the client's client reads."""
    with FaultyStore(archive.settings.s3, lambda *_: "truncated") as store:
        objects = Objects(archive.settings.model_copy(update={"s3": store.url}))
        with pytest.raises((ServiceAway, NotFound)):
            ask(objects, f"not-there-{archive.topic}")
