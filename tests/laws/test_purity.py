"""Roles do no I/O, read no clock, draw no random number: read from their source, not hoped for."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventlog.discovery import LAYERS, VOCABULARY, catalog

PURE_LAYERS = (VOCABULARY, "processors", "projections")
IMPORTS = {
    "__future__", "collections", "collections.abc", "dataclasses", "datetime", "decimal", "enum", "fractions",
    "functools", "itertools", "math", "operator", "pathlib", "re", "typing", "unicodedata", "msgspec",
    "eventlog.decimals", "eventlog.envelope", "eventlog.errors", "eventlog.message", "eventlog.models",
    "eventlog.operations", "eventlog.roles", "eventlog.sagas", "eventlog.topics",
}  # fmt: skip
"""What a role may import, besides vocabularies and modules of its own."""
CALLS = {
    "now", "utcnow", "today", "fromtimestamp", "astimezone", "open", "print", "input", "exec", "eval", "__import__",
    "read_text", "read_bytes", "write_text", "write_bytes", "iterdir", "glob", "exists", "unlink", "mkdir", "id",
    "hash",
}  # fmt: skip
"""What a role may not call, as a function or a method: clocks, files, and what differs from run to run."""


def files(layer: str) -> Iterator[tuple[str, Path]]:
    """The modules of every domain in a layer, with the package that they may import from."""
    root = Path(importlib.import_module(layer).__path__[0])
    for name in sorted(domain.name for domain in catalog().domains):
        if (root / f"{name}.py").exists():
            yield f"{layer}.{name}", root / f"{name}.py"
        yield from ((f"{layer}.{name}", file) for file in sorted((root / name).rglob("*.py")))


PURE = [found for layer in PURE_LAYERS for found in files(layer)]


def impurities(tree: ast.Module, own: str) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (f"import {a.name}" for a in names if a.name not in IMPORTS)
            case ast.ImportFrom(module=module):
                of_domain = f"{module}.".startswith((f"{VOCABULARY}.", f"{own}."))
                if module not in IMPORTS and not of_domain:
                    yield f"from {module} import"
            case ast.Call(func=ast.Name(id=called)) | ast.Call(func=ast.Attribute(attr=called)) if called in CALLS:
                yield f"{called}()"
            case ast.Global() | ast.Nonlocal() | ast.AsyncFunctionDef() | ast.Await():
                yield type(node).__name__


def test_there_are_roles_to_look_at() -> None:
    names = {file.relative_to(file.parents[1]).as_posix() for _, file in PURE}
    assert {"trading/decider.py", "trading/enricher.py", "projections/market.py"} <= names


@pytest.mark.parametrize(("own", "file"), PURE, ids=lambda value: getattr(value, "name", value))
def test_a_role_is_pure(own: str, file: Path) -> None:
    assert list(impurities(ast.parse(file.read_text()), own)) == []


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "import random",
        "from uuid import uuid4",
        "import os",
        "from time import monotonic",
        "from eventlog.settings import Settings",
        "from eventlog.runtime import worker",
        "from projections.stores import postgres",
        "from processors.other import DECIDER",
        "from datetime import datetime\ndef decide(): return datetime.now()",
        "from datetime import date\nx = date.today()",
        "def on(): open('x')",
        "from pathlib import Path\nx = Path('x').read_text()",
        "def on():\n global seen\n seen = 1",
        "async def on(): pass",
    ],
)
def test_impurities_are_seen(source: str) -> None:
    assert list(impurities(ast.parse(source), "processors.trading"))


ROLES = {"Decider", "Enricher", "Effect", "Projection", "Saga", "Source", "Domain"}


def exports_roles(file: Path) -> bool:
    """Whether a module makes a role object at its top level, as far as its source shows it."""
    for node in ast.parse(file.read_text()).body:
        value = getattr(node, "value", None)
        if isinstance(value, ast.Call) and getattr(value.func, "id", None) in ROLES:
            return True
    return False


@pytest.mark.parametrize("layer", LAYERS)
def test_no_role_is_in_a_module_that_discovery_does_not_look_at(layer: str) -> None:
    """A module counts by having its domain's name; a name that is mistyped would otherwise just be passed over."""
    root = Path(importlib.import_module(layer).__path__[0])
    known = {domain.name for domain in catalog().domains}
    lost = [file for file in root.rglob("*.py") if file.relative_to(root).parts[0].removesuffix(".py") not in known]
    assert [str(file) for file in lost if exports_roles(file)] == []


def test_every_role_has_a_domain_that_was_found() -> None:
    found = catalog()
    roles = (*found.sources, *found.processors, *found.projections)
    assert {role.domain.name for role in roles} <= {domain.name for domain in found.domains}
    assert {source.domain.name for source in found.sources} == {d.name for d in found.domains if d.published()}
