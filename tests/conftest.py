"""Fixtures that every test may use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from eventlog.settings import Settings
from tests.backing import Backing, start_backing


@pytest.fixture(scope="session")
def backing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backing]:
    """The four real services, started once."""
    started = start_backing(tmp_path_factory.mktemp("backing"))
    yield started
    started.stop()


@pytest.fixture(scope="session")
def settings(backing: Backing) -> Settings:
    """Where those services are."""
    return Settings(**backing.settings())
