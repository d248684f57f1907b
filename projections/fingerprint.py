"""Tells folds apart: what one version of the code began, another one must not go on with."""

from __future__ import annotations

import ast
import hashlib
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache, partial
from importlib import import_module
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import msgspec

from eventlog.errors import OnefactError
from eventlog.roles import Projection

FOLD = 1
"""To be counted up when the kernel folds the same handlers' operations into other rows."""
FOLDING = ("eventlog.decimals", "eventlog.memory", "eventlog.operations", "eventlog.steps.project")
FOLDING_DIGEST = "b98b10a2ab1d6ef30c18653b5b3a01fd"
"""Of these modules, so that nobody changes them without a thought of `FOLD`; a test says when and what to do."""

_ADDRESS = re.compile(r"\bat 0x[0-9a-f]+")


def fold_of(projection: Projection, *, kernel: bool = False) -> str:
    """A digest of what decides which rows a log leads to: the handler, its domain's code, messages, the model.

    Comments and blank lines do not count. With `kernel` the kernel's own code does too, to the byte: for what lasts a
    day. What lasts years goes by `FOLD`.
    """
    model = projection.model
    said: list[Any] = [FOLD, type(model).__name__, projection.name, _said(projection.on), _said(model)]
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


def _said(value: Any, within: tuple[int, ...] = ()) -> Any:
    """A value as every process writes it: a set is in another order in each, and an address another one.

    Raises `OnefactError` for what is not known to have such a text.
    """
    if id(value) in within:
        return "itself"
    kind, parts = type(value).__name__, _parts(value)
    if parts is not None:
        said = [_said(part, (*within, id(value))) for part in parts]
        return kind, sorted(map(repr, said)) if isinstance(value, set | frozenset) else said
    text = value.__name__ if isinstance(value, ModuleType) else repr(value)
    if _ADDRESS.search(text):
        raise OnefactError(f"a handler holds {text}: nobody can tell whether another process has the same one")
    return kind, text


def _parts(value: Any) -> Iterable[Any] | None:
    """What a value consists of; None where it is one thing."""
    match value:
        case CodeType():
            return value.co_code, value.co_names, *value.co_consts
        case FunctionType():
            cells = [cell.cell_contents for cell in value.__closure__ or ()]
            return value.__qualname__, value.__code__, value.__defaults__, value.__kwdefaults__, *cells
        case MethodType():
            return value.__func__, value.__self__
        case partial():
            return value.func, value.args, value.keywords
        case Mapping() | tuple() | list() | set() | frozenset():
            return value.items() if isinstance(value, Mapping) else value
        case msgspec.Struct():
            return msgspec.structs.astuple(value)
    if is_dataclass(value) and not isinstance(value, type):
        # Migrations lead to a table's columns, which are declared; where they lie is this machine's own business.
        return [(each.name, getattr(value, each.name)) for each in fields(value) if each.name != "migrations"]
    return None


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
