"""Tells folds apart: what one version of the code began, another one must not go on with."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from types import CodeType
from typing import Any

from eventlog.roles import Projection

FOLD = 1
"""To be counted up when the kernel folds the same handlers' operations into other rows."""
FOLDING = ("eventlog.decimals", "eventlog.memory", "eventlog.operations", "eventlog.steps.project")
FOLDING_DIGEST = "b98b10a2ab1d6ef30c18653b5b3a01fd"
"""Of these modules, so that nobody changes them without a thought of `FOLD`; a test says when and what to do."""


def fold_of(projection: Projection, *, kernel: bool = False) -> str:
    """A digest of what decides which rows a log leads to: the handler, its domain's code, messages, the model.

    Comments and blank lines do not count. With `kernel` the kernel's own code does too, to the byte: for what lasts a
    day. What lasts years goes by `FOLD`.
    """
    model = projection.model
    said: list[Any] = [FOLD, type(model).__name__, projection.name, *_code(projection.on)]
    # Migrations lead to a table's columns, which are declared; where they lie is this machine's own business.
    said += [(each.name, repr(getattr(model, each.name))) for each in fields(model) if each.name != "migrations"]
    said += [(topic.name, topic.partitions) for topic in projection.sources]
    classes = {cls for topic in projection.sources for cls in topic.types}
    packages = {_package(projection.on.__module__), *(_package(cls.__module__) for cls in classes)}
    said += [_source(name, exact=False) for name in sorted(packages)]
    if kernel:
        said += [_source(name, exact=True) for name in ("eventlog", "projections.stores")]
    return hashlib.sha256(repr(said).encode()).hexdigest()[:32]


def folding_digest() -> str:
    """Of the modules that fold, without comments and blank lines; the same under every Python."""
    found = hashlib.sha256()
    for name in FOLDING:
        lines = Path(str(import_module(name).__file__)).read_text().splitlines()
        kept = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
        found.update("\n".join([name, *kept]).encode())
    return found.hexdigest()[:32]


def _package(module: str) -> str:
    """A domain's part of a layer: `projections.trading` of `projections.trading.tables`."""
    return ".".join(module.split(".")[:2])


def _code(function: Callable[..., Any]) -> Iterator[Any]:
    code = getattr(function, "__code__", None)
    yield getattr(function, "__qualname__", type(function).__qualname__)
    if isinstance(code, CodeType):
        yield from _parts(code)
        for cell in getattr(function, "__closure__", None) or ():
            yield from _code(cell.cell_contents) if callable(cell.cell_contents) else [repr(cell.cell_contents)[:1000]]


def _parts(code: CodeType) -> Iterator[Any]:
    yield code.co_code
    yield code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _parts(constant)
        else:
            yield repr(constant)


@lru_cache(maxsize=256)
def _source(name: str, *, exact: bool) -> str:
    """Digest of a module's code, of a package's with all below it."""
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None:
        return name
    path = Path(file)
    paths = sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]
    found = hashlib.sha256()
    for each in paths:
        text = each.read_bytes()
        found.update(text if exact else ast.dump(ast.parse(text)).encode())
    return found.hexdigest()
