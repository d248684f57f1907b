"""Fixtures that every test may use."""

from __future__ import annotations

from collections.abc import Iterator

import hypothesis
import pytest

from eventlog.codec import Codec
from eventlog.provision import provision
from eventlog.settings import Settings
from tests.backing import Backing, start_backing
from tests.runtime.counting import CATALOG
from tests.runtime.harness import codec_of

# How long an example takes says more about the machine than about the law.
hypothesis.settings.register_profile("onefact", deadline=None, print_blob=True)
hypothesis.settings.load_profile("onefact")


@pytest.fixture(scope="session")
def backing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backing]:
    """The real services, started once."""
    started = start_backing(tmp_path_factory.mktemp("backing"))
    yield started
    started.stop()


@pytest.fixture(scope="session")
def graph_backing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backing]:
    """Neo4j, started once, and only where a test asks for it."""
    started = start_backing(tmp_path_factory.mktemp("neo4j"), services=("neo4j",))
    yield started
    started.stop()


@pytest.fixture(scope="session")
def settings(backing: Backing) -> Settings:
    """Where those services are."""
    return Settings(**backing.settings())


@pytest.fixture(scope="module")
def codec(settings: Settings) -> Iterator[Codec]:
    """Of the counting domain, whose topics are there."""
    provision(settings, CATALOG)
    with codec_of(settings, CATALOG) as made:
        yield made
