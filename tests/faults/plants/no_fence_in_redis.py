"""Rows and position are written to Redis whatever the position is."""

from __future__ import annotations

from tests.faults.plants._redis import change_apply


def plant() -> None:
    change_apply("if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end", "")
