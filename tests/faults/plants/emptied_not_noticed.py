"""Where Redis has no position (any more) it is taken for a new model, and rows are written from there on."""

from __future__ import annotations

from tests.faults.plants._redis import change_apply


def plant() -> None:
    held = "redis.call('HGET', KEYS[1], ARGV[1])"
    change_apply(f"if {held} ~= ARGV[2]", f"local held = {held}\nif held and held ~= ARGV[2]")
