"""Read models in Redis: a hash per row or a sorted set, rows and position in one script call."""

from projections.stores.redis._sink import RedisSink
from projections.stores.redis._store import RedisStore

__all__ = ["RedisSink", "RedisStore"]
