"""A driver with chosen time-outs, and errors that tell an absent server from a wrong request."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import neo4j
from neo4j import exceptions

from eventlog.errors import BadInput, OnefactError, ServiceAway

CONNECT_TIMEOUT_S = 5.0
ACQUIRE_TIMEOUT_S = 15.0
WRITE_TIMEOUT_S = 30.0
"""Far over the longest batch. The server ends a transaction after it, so a paused owner's locks are free by then."""
READ_TIMEOUT_S = 15.0
CONNECTIONS_MAX = 160
"""One per partition that this worker may own, and some for reads."""

_AWAY_CODES = (
    "Neo.TransientError.",  # deadlocks are tried again before; starting, stopping, out of memory, terminated
    "Neo.ClientError.Transaction.TransactionTimedOut",
    "Neo.ClientError.Transaction.TransactionTerminated",
    "Neo.ClientError.Transaction.LockClientStopped",
    "Neo.ClientError.Database.DatabaseNotFound",  # it is still being made
    "Neo.ClientError.Security.AuthenticationRateLimit",
)


class Address(NamedTuple):
    """The parts of ONEFACT_NEO4J."""

    uri: str
    auth: tuple[str, str] | None
    database: str


def parse(url: str) -> Address:
    """Parts of the URL; raises `BadInput` without showing it, since it holds a password."""
    wrong = BadInput("ONEFACT_NEO4J is not a Neo4j URL, bolt://user:password@host:port[/database]")
    try:
        parts = urlsplit(url)
        known = parts.scheme.partition("+")[0] in ("bolt", "neo4j") and parts.hostname
        port = parts.port or 7687
    except ValueError:
        raise wrong from None
    if not known:
        raise wrong
    auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    return Address(f"{parts.scheme}://{host}:{port}", auth, parts.path.strip("/") or "neo4j")


def connect(address: Address) -> neo4j.Driver:
    """A driver, which connects when it is first used; may be shared by threads."""
    # It warns of every connection that dies; whoever used it is told by an error.
    logging.getLogger("neo4j").setLevel(logging.CRITICAL)
    try:
        return neo4j.GraphDatabase.driver(
            address.uri,
            auth=address.auth,
            connection_timeout=CONNECT_TIMEOUT_S,
            connection_acquisition_timeout=ACQUIRE_TIMEOUT_S,
            max_connection_pool_size=CONNECTIONS_MAX,
            keep_alive=True,
            telemetry_disabled=True,
            notifications_min_severity="OFF",
            user_agent="onefact",
        )
    except (exceptions.ConfigurationError, ValueError):
        raise BadInput("ONEFACT_NEO4J is not a Neo4j URL, bolt://user:password@host:port[/database]") from None


@contextmanager
def answering() -> Iterator[None]:
    """Turn the errors of a server that is away, starting, stopping or blocked into `ServiceAway`."""
    try:
        yield
    except exceptions.AuthError as error:
        raise OnefactError("neo4j does not take the user and password of ONEFACT_NEO4J") from error
    except (exceptions.Neo4jError, exceptions.DriverError, OSError) as error:
        if not is_away(error):
            raise
        raise ServiceAway("neo4j", _said(error)) from error


def is_away(error: Exception) -> bool:
    """Whether trying again later, in a new transaction, is the answer to this error."""
    if isinstance(error, exceptions.Neo4jError):
        return (error.code or "").startswith(_AWAY_CODES)
    # What a driver says of itself: no connection, none free, a session that lost its own. Wrong use is not among it.
    away = exceptions.ServiceUnavailable | exceptions.SessionExpired | exceptions.ConnectionAcquisitionTimeoutError
    return isinstance(error, away | exceptions.ConnectionPoolError | exceptions.IncompleteCommit | OSError)


def is_deadlock(error: exceptions.Neo4jError) -> bool:
    """Whether the transaction was only in another one's way; nothing was applied."""
    return (error.code or "") in (
        "Neo.TransientError.Transaction.DeadlockDetected",
        "Neo.TransientError.Transaction.Outdated",
        "Neo.ClientError.Schema.ConstraintWithNameAlreadyExists",
        "Neo.ClientError.Schema.EquivalentSchemaRuleAlreadyExists",
    )


def _said(error: Exception) -> str:
    text = getattr(error, "message", None) or str(error)
    return str(text).strip().partition("\n")[0][:300] or type(error).__name__
