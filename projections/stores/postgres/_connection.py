"""Connections whose every time-out is chosen, and errors that tell an absent server from a wrong request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from eventlog.errors import BadInput, ServiceAway

CONNECT_TIMEOUT_S = 5
LOCK_TIMEOUT_MS = 5_000
IDLE_IN_TRANSACTION_TIMEOUT_MS = 5_000
STATEMENT_TIMEOUT_MS = 120_000
UNACKNOWLEDGED_TIMEOUT_MS = 10_000
"""Of bytes sent to a server whose machine or network is gone."""

SESSION = {
    # A position that was reported as committed must survive a power cut, even where the server's default is laxer.
    "synchronous_commit": "on",
    # Waiting for a paused owner's locks must end in an error the worker acts on: it opens again (see `end_zombies`).
    "lock_timeout": LOCK_TIMEOUT_MS,
    # A worker never pauses inside a transaction; one that was stopped there gives its locks back.
    "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION_TIMEOUT_MS,
    # Far over the longest batch; ends what would otherwise hang for ever.
    "statement_timeout": STATEMENT_TIMEOUT_MS,
    # A killed worker's running statement ends when its socket is gone, not when it has finished.
    "client_connection_check_interval": 2_000,
    # Times are read and written in UTC.
    "TimeZone": "UTC",
    # Names without a schema are the read models'; nothing of the user's own path can stand before them.
    "search_path": "public",
}

_AWAY_CLASSES = ("08", "57P")
_AWAY_CODES = {
    "25P03",  # idle-in-transaction time-out: the server closed the session
    "53300",  # too many connections
    "55P03",  # a lock was not given in time
    "57014",  # statement time-out
}


def parse(url: str) -> dict[str, Any]:
    """The parts of a libpq URL; raises `BadInput` without showing it, since it holds a password."""
    try:
        return dict(conninfo_to_dict(url))
    except psycopg.ProgrammingError:
        raise BadInput("ONEFACT_POSTGRES is not a libpq URL, postgresql://user:password@host:port/database") from None


def connect(parts: dict[str, Any], application_name: str, **session: int | str) -> psycopg.Connection[Any]:
    """A connection in autocommit; `session` overrides server settings. Raises `ServiceAway`."""
    settings = " ".join(f"-c {name}={value}" for name, value in (SESSION | session).items())
    with answering():
        return psycopg.connect(
            **(
                parts
                | {
                    "application_name": application_name,
                    "options": f"{parts.get('options') or ''} {settings}".strip(),
                    "client_encoding": "utf8",
                    "connect_timeout": CONNECT_TIMEOUT_S,
                    # A server that vanished without a word is noticed within half a minute, idle or not.
                    "keepalives": 1,
                    "keepalives_idle": 10,
                    "keepalives_interval": 5,
                    "keepalives_count": 3,
                    "tcp_user_timeout": UNACKNOWLEDGED_TIMEOUT_MS,
                }
            ),
            autocommit=True,
        )


@contextmanager
def answering() -> Iterator[None]:
    """Turn the errors of a server that is away, starting, stopping or blocked into `ServiceAway`."""
    try:
        yield
    except (errors.OperationalError, errors.InterfaceError) as error:
        if not is_away(error):
            raise
        raise ServiceAway("postgres", str(error).strip().partition("\n")[0] or type(error).__name__) from error


def is_away(error: psycopg.Error) -> bool:
    """Whether trying again later, on a new connection, is the answer to this error."""
    code = error.sqlstate
    return code is None or code.startswith(_AWAY_CLASSES) or code in _AWAY_CODES


def end_zombies(connection: psycopg.Connection[Any]) -> None:
    """End sessions of the same application name that sit in an old transaction.

    A worker paused in the middle of a COPY keeps its locks: no server time-out covers that state. Its transaction has
    not committed, so ending it loses nothing; when it wakes it finds its connection closed and opens again.
    """
    connection.execute(
        """
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = current_setting('application_name') AND pid <> pg_backend_pid()
          AND usename = current_user AND xact_start < clock_timestamp() - make_interval(secs => %s)
        """,
        [LOCK_TIMEOUT_MS / 2000],
    )
