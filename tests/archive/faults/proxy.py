"""The misbehaving store as a process of its own: proxy.py URL. Prints its address; told what to do by HTTP.

`PUT /faults` with {"kinds": [...], "share": 0.2, "seed": 1, "parts": ["..."]} has so large a share of the requests go
wrong whose path has one of the parts; an empty list of kinds none. `GET /faults` says how many of which there were.
"""

from __future__ import annotations

import json
import random
import sys
import urllib.request
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from tests.archive.faulty import FaultyStore

CONTROL = "/faults"


class Told:
    """What the store does, as it was told last."""

    def __init__(self) -> None:
        self.tell({"kinds": []})

    def tell(self, said: dict[str, Any]) -> None:
        self.kinds: list[str] = said["kinds"]
        self.share: float = said.get("share", 1.0)
        self.parts: list[str] = said.get("parts", [])
        self.left: int = said.get("limit", sys.maxsize)
        self.draw = random.Random(said.get("seed"))

    def choose(self, method: str, path: str, _: int) -> str | None:
        wanted = [kind for kind in self.kinds if kind != "not kept" or method == "PUT"]
        here = not self.parts or any(part in path for part in self.parts)
        if not wanted or not here or self.left <= 0 or self.draw.random() >= self.share:
            return None
        self.left -= 1
        return self.draw.choice(wanted)


def tell(url: str, kinds: Sequence[str], **more: Any) -> None:
    """Have the store do this from now on."""
    _ask(url, "PUT", json.dumps({"kinds": list(kinds), **more}).encode())


def done(url: str) -> dict[str, int]:
    """How often it did what since it was told last."""
    found: dict[str, int] = json.loads(_ask(url, "GET", None))
    return found


def _ask(url: str, method: str, body: bytes | None) -> bytes:
    parts = urlsplit(url)
    request = urllib.request.Request(f"http://{parts.hostname}:{parts.port}{CONTROL}", data=body, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: bytes = answer.read()
    return found


def main() -> None:
    told = Told()
    with FaultyStore(sys.argv[1], told.choose) as store:

        def control(body: bytes) -> bytes:
            if body:
                told.tell(json.loads(body))
                store.done.clear()
            return json.dumps(store.done).encode()

        store.control = CONTROL, control
        print(store.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
