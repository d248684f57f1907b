"""A decider at work on the counting domain, and a publisher to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from eventlog.provision import provision
from eventlog.settings import Settings
from producers import Publisher
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
