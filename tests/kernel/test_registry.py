"""A registry that does not answer is a service that is away, and nothing else."""

from __future__ import annotations

import socket

import pytest

from eventlog.errors import ServiceAway
from eventlog.registry import Registry


def test_nobody_listens() -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        url = f"http://127.0.0.1:{unheard.getsockname()[1]}"
        with Registry(url) as registry, pytest.raises(ServiceAway, match="registry is away"):
            registry.register("nobody", '"string"')
