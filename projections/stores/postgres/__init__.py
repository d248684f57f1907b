"""Read models in Postgres: a table per version, a view on the live one, rows and progress in one transaction."""

from projections.stores.postgres._sink import PostgresSink
from projections.stores.postgres._store import PostgresStore

__all__ = ["PostgresSink", "PostgresStore"]
