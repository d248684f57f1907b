"""Connections to Redis with chosen time-outs, scripts by their digest, and errors that tell an absent server."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError
from redis.retry import Retry

from eventlog.errors import BadInput, ServiceAway

CONNECT_TIMEOUT_S = 5
ANSWER_TIMEOUT_S = 15
"""Far over the longest script (30,000 rows take a fraction of a second); ends waiting for a server that hangs."""

_AWAY = ("LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS", "BUSY ")
"""Replies of a server that starts, was demoted, or is held up: it will answer later."""

Argument = str | bytes | int


class Script:
    """A Lua script, called by its digest and sent whole only to a server that does not know it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, client: redis.Redis, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """Run it; a script either has not begun or has its whole effect, also for one that is told NOSCRIPT."""
        with answering():
            try:
                return client.evalsha(self.sha, len(keys), *keys, *arguments)
            except NoScriptError:
                return client.eval(self.text, len(keys), *keys, *arguments)


def connect(url: str, *, decoded: bool = False, single: bool = False) -> redis.Redis:
    """A client that connects when first used; raises `BadInput` without showing the URL, which holds a password."""
    try:
        return redis.Redis.from_url(
            url,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=ANSWER_TIMEOUT_S,
            socket_keepalive=True,
            # A call whose answer was lost may have been carried out: only who keeps the position may decide what then.
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            decode_responses=decoded,
            single_connection_client=single,
        )
    except ValueError:
        raise BadInput("ONEFACT_REDIS is not a Redis URL, redis://:password@host:port/database") from None
    except redis.ConnectionError as error:
        raise ServiceAway("redis", str(error)) from error


@contextmanager
def answering() -> Iterator[None]:
    """Turn the errors of a server that is away, starting or stopping into `ServiceAway`."""
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
        raise ServiceAway("redis", str(error) or type(error).__name__) from error
    except (redis.ReadOnlyError, redis.ResponseError) as error:
        if isinstance(error, redis.ReadOnlyError) or str(error).startswith(_AWAY):
            raise ServiceAway("redis", str(error)) from error
        raise
