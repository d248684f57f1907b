"""Fixtures that the live tests of orders share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from eventlog.codec import Codec
from eventlog.discovery import catalog
from eventlog.provision import provision
from eventlog.settings import Settings
from tests.runtime.harness import codec_of


@pytest.fixture(scope="module")
def codec(settings: Settings) -> Iterator[Codec]:
    """Of all domains, whose topics are there."""
    provision(settings, catalog())
    with codec_of(settings, catalog()) as made:
        yield made
