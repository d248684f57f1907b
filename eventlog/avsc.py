"""Committed schemas: one `.avsc` per record, written from its class and never by hand, and every earlier version of it.

`python -m eventlog.avsc` writes them all. `trading/StockBought.avsc` is what is written now,
`trading/history/StockBought.1.avsc` and so on what was written before: facts in some log are of these.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from eventlog.discovery import VOCABULARY, catalog
from eventlog.errors import OnefactError
from eventlog.evolution import unreadable
from eventlog.message import Message
from eventlog.schema import avro_schema, schema_text

HISTORY = "history"


class Unreadable(OnefactError):
    """A class that could not read facts of its earlier versions."""


def folder() -> Path:
    """Where the schemas of all domains are kept."""
    return Path(importlib.import_module(VOCABULARY).__path__[0])


def path(cls: type[Message], name: str | None = None) -> Path:
    """File of a class, below the folder: `onefact.trading.StockBought` is `trading/StockBought.avsc`."""
    return Path(cls.namespace.rpartition(".")[2]) / f"{name or cls.__name__}.avsc"


def write(root: Path | None = None, classes: Iterable[type[Message]] | None = None) -> list[Path]:
    """Write the schema of every message type, and return the files that changed.

    What a file said before becomes the newest of its history, unless only words have changed.
    Raises `Unreadable`, and writes nothing, when a class cannot read what was written with its earlier versions.
    """
    root = folder() if root is None else root
    classes = _all(classes)
    refused = incompatible(root, classes)
    if refused:
        raise Unreadable("; ".join(refused))
    changed = []
    for cls in classes:
        for name in cls.formerly:
            changed += _archive(root / path(cls, name))
            (root / path(cls, name)).unlink(missing_ok=True)
        file, text = root / path(cls), schema_text(cls)
        if not file.exists() or file.read_text() != text:
            if file.exists() and _meaning(file) != _without_words(avro_schema(cls)):
                changed += _archive(file)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            changed.append(file)
    return changed


def _archive(file: Path) -> list[Path]:
    """Keep what the file says as the newest version of its history; the file that was written, if there was one."""
    if not file.exists():
        return []
    kept = earlier(file)
    to = file.parent / HISTORY / f"{file.stem}.{_number(kept[-1]) + 1 if kept else 1}.avsc"
    to.parent.mkdir(exist_ok=True)
    to.write_text(file.read_text())
    return [to]


def earlier(file: Path) -> list[Path]:
    """Earlier versions of a committed schema, oldest first."""
    return sorted((file.parent / HISTORY).glob(f"{file.stem}.*.avsc"), key=_number)


def _number(kept: Path) -> int:
    return int(kept.name.split(".")[-2])


def incompatible(root: Path | None = None, classes: Iterable[type[Message]] | None = None) -> list[str]:
    """Fields because of which a class cannot read facts of its earlier versions: `StockBought.fee: why; what to do`.

    Every earlier version counts, not only the last: facts of all of them are in the log.
    """
    root = folder() if root is None else root
    found: dict[str, str] = {}
    for cls in _all(classes):
        for name in (cls.__name__, *cls.formerly):
            file = root / path(cls, name)
            for version in [*earlier(file), *([file] if file.exists() else [])]:
                for why in unreadable(avro_schema(cls), json.loads(version.read_text())):
                    found.setdefault(why, f"{why} ({version.relative_to(root)})")
    return sorted(found.values())


def drift(root: Path | None = None, classes: Iterable[type[Message]] | None = None) -> list[str]:
    """What differs between the classes and the committed schemas, a sentence each; empty when nothing does."""
    root = folder() if root is None else root
    classes = _all(classes)
    expected = {path(cls): schema_text(cls) for cls in classes}
    renamed = {path(cls, name): cls.__name__ for cls in classes for name in cls.formerly}
    committed = {file.relative_to(root): file.read_text() for file in root.glob("*/*.avsc")}
    found = [f"{name} is missing; run `onefact schemas --write`" for name in expected.keys() - committed.keys()]
    found += [
        f"{name} is now {renamed[name]}; run `onefact schemas --write`"
        if name in renamed
        else f"{name} belongs to no message type of any domain: keep the class and give the domain an upcaster "
        "from it, or name it in `formerly` of what it became; delete the file only if no log has such a fact"
        for name in committed.keys() - expected.keys()
    ]
    found += [
        f"{name} differs from its class; run `onefact schemas --write`"
        for name in expected.keys() & committed.keys()
        if expected[name] != committed[name]
    ]
    kept = {file.relative_to(root) for file in root.glob(f"*/{HISTORY}/*.avsc")}
    known = {version.relative_to(root) for name in (expected | renamed) for version in earlier(root / name)}
    found += [f"{name} is the history of no message type of any domain" for name in kept - known]
    return sorted(found)


def _all(classes: Iterable[type[Message]] | None) -> Sequence[type[Message]]:
    return catalog().readable_types if classes is None else list(classes)


def _meaning(file: Path) -> Any:
    return _without_words(json.loads(file.read_text()))


def _without_words(schema: Any) -> Any:
    """A schema without its documentation: where two agree, there is nothing to remember of the older one."""
    if isinstance(schema, list):
        return [_without_words(part) for part in schema]
    if isinstance(schema, dict):
        return {name: _without_words(part) for name, part in schema.items() if name != "doc"}
    return schema


if __name__ == "__main__":
    for written in write():
        print(written)  # noqa: T201 - a program's output
