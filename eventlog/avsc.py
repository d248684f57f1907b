"""Committed schemas: one `.avsc` per record, written from its class and never by hand.

`python -m eventlog.avsc` writes them all.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path

from eventlog.discovery import VOCABULARY, catalog
from eventlog.message import Message
from eventlog.schema import schema_text


def folder() -> Path:
    """Where the schemas of all domains are kept."""
    return Path(importlib.import_module(VOCABULARY).__path__[0])


def path(cls: type[Message]) -> Path:
    """File of a class, below the folder: `onefact.trading.StockBought` is `trading/StockBought.avsc`."""
    return Path(cls.namespace.rpartition(".")[2]) / f"{cls.__name__}.avsc"


def write(root: Path | None = None, classes: Iterable[type[Message]] | None = None) -> list[Path]:
    """Write the schema of every message type, and return the files that changed; remove none."""
    root = folder() if root is None else root
    changed = []
    for cls in catalog().message_types if classes is None else classes:
        file = root / path(cls)
        text = schema_text(cls)
        if not file.exists() or file.read_text() != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            changed.append(file)
    return changed


def drift(root: Path | None = None, classes: Iterable[type[Message]] | None = None) -> list[str]:
    """What differs between the classes and the committed schemas, a sentence each; empty when nothing does."""
    root = folder() if root is None else root
    expected = {path(cls): schema_text(cls) for cls in (catalog().message_types if classes is None else classes)}
    committed = {file.relative_to(root): file.read_text() for file in root.glob("*/*.avsc")}
    found = [f"{name} is missing; run `onefact schemas --write`" for name in expected.keys() - committed.keys()]
    found += [f"{name} belongs to no message type of any domain" for name in committed.keys() - expected.keys()]
    found += [
        f"{name} differs from its class; run `onefact schemas --write`"
        for name in expected.keys() & committed.keys()
        if expected[name] != committed[name]
    ]
    return sorted(found)


if __name__ == "__main__":
    for written in write():
        print(written)  # noqa: T201 - a program's output
