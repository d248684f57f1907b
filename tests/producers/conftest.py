"""A decider at work on the counting domain, and a publisher to it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from eventlog.provision import provision
from eventlog.settings import Settings
from producers import Publisher, _producer, _sending
from tests.backing import Backing
from tests.runtime.counting import CATALOG, COUNTING
from tests.runtime.harness import Workers


@pytest.fixture(scope="package")
def counting(backing: Backing, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a cluster where commands to count are decided."""
    provision(settings, CATALOG)
    workers = Workers(backing.env, tmp_path_factory.mktemp("workers"))
    workers.start("producers", "counting.decider")
    try:
        workers.wait_ready()
        yield settings
    finally:
        workers.stop()


@pytest.fixture
def publisher(counting: Settings) -> Iterator[Publisher]:
    with Publisher(counting, source="tests", domains=[COUNTING]) as opened:
        yield opened


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent stays with the client for seconds, so that it can be taken from it before it is delivered."""
    monkeypatch.setattr(_sending, "new_producer", partial(_producer.new_producer, **{"linger.ms": 3_000}))
