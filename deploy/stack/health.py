"""Health is what the service itself answers, within a few seconds."""

from __future__ import annotations

import logging
import socket
from urllib.parse import unquote, urlsplit, urlunsplit

import httpx
import psycopg
import redis
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

TIMEOUT_S = 2.0
_quiet = logging.getLogger("deploy.stack.health")
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False


def without_credentials(url: str) -> str:
    """The same address, fit to be shown."""
    parts = urlsplit(url)
    if not parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def port_open(host: str, port: int, timeout_s: float = 0.5) -> bool:
    """True when somebody accepts connections there."""
    try:
        socket.create_connection((host, port), timeout_s).close()
    except OSError:
        return False
    return True


def kafka(bootstrap: str) -> bool:
    """True when a broker answers with the cluster's metadata."""
    # A plain connection first: a client of a broker that is away retries in the background.
    if not any(_listens(address) for address in bootstrap.split(",")):
        return False
    client = AdminClient({"bootstrap.servers": bootstrap, "socket.timeout.ms": 2000, "log_level": 0}, logger=_quiet)
    try:
        return bool(client.list_topics(timeout=TIMEOUT_S).brokers)
    except KafkaException:
        return False


def _listens(address: str) -> bool:
    host, _, port = address.strip().rpartition(":")
    return port.isdigit() and port_open(host.strip("[]"), int(port))


def registry(url: str) -> bool:
    """True when the registry lists its subjects."""
    return answers_200(f"{url.rstrip('/')}/subjects")


def answers_200(url: str) -> bool:
    parts = urlsplit(url)
    # Cheap questions first: this is asked in a loop while the machine is busy with starting servers,
    # and a client with certificates takes longer to make than the answer.
    if not parts.hostname or not port_open(parts.hostname, parts.port or _PORTS[parts.scheme]):
        return False
    try:
        with httpx.Client(verify=parts.scheme == "https", timeout=TIMEOUT_S) as client:
            return client.get(url).status_code == 200
    except httpx.HTTPError:
        return False


_PORTS = {"http": 80, "https": 443}


def postgres(url: str) -> bool:
    """True when a query is answered."""
    try:
        with psycopg.connect(url, connect_timeout=2, autocommit=True) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.Error:
        return False


def redis_server(url: str) -> bool:
    """True when it answers and its data is loaded."""
    try:
        with redis.Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def s3(url: str) -> bool:
    """True when the object store answers, be it that it wants to know who asks."""
    parts = urlsplit(url)
    if not parts.hostname or not port_open(parts.hostname, parts.port or _PORTS[parts.scheme]):
        return False
    try:
        with httpx.Client(verify=parts.scheme == "https", timeout=TIMEOUT_S) as client:
            asked = client.get(urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], "/healthz", "", "")))
            return asked.status_code < 500
    except httpx.HTTPError:
        return False


def neo4j_server(url: str) -> bool:
    """True when its database answers a query."""
    parts = urlsplit(url)
    if not parts.hostname or not port_open(parts.hostname, parts.port or 7687):
        return False
    import neo4j  # takes a third of a second: only where there is one
    from neo4j.exceptions import DriverError, Neo4jError

    address = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], "", "", ""))
    auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    logging.getLogger("neo4j").setLevel(logging.CRITICAL)
    try:
        with neo4j.GraphDatabase.driver(
            address, auth=auth, connection_timeout=TIMEOUT_S, connection_acquisition_timeout=TIMEOUT_S,
            max_transaction_retry_time=0,
        ) as driver:  # fmt: skip
            return bool(driver.execute_query("RETURN 1").records)
    except (DriverError, Neo4jError, OSError, ValueError):
        return False


def worker_ready(port: int) -> bool:
    """True when the worker says that it has recovered and is at work."""
    return answers_200(f"http://127.0.0.1:{port}/ready")


CHECKS = {
    "kafka": kafka,
    "registry": registry,
    "postgres": postgres,
    "redis": redis_server,
    "s3": s3,
    "neo4j": neo4j_server,
}
"""Service -> question to ask at its address."""
OPTIONAL = frozenset({"s3", "neo4j"})
"""Those that may be left out: nothing but the archive, and nothing but graphs, needs them."""
