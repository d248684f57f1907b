"""Every domain is found by its name: a module of `schemas`, and one of the same name in each layer that it uses.

Nothing is registered: a module exports role objects, and they are collected. A module that cannot be
imported is an error, never skipped; so is a role that could not work (an undeclared topic, a name used twice).
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from types import ModuleType
from typing import TypeVar

from eventlog.errors import OnefactError
from eventlog.message import DeadlinePassed
from eventlog.models import table_form
from eventlog.roles import Catalog, Decider, Effect, Enricher, Projection, Role, Source
from eventlog.sagas import Saga
from eventlog.topics import Domain, Topic

VOCABULARY = "schemas"
LAYERS = ("producers", "processors", "projections")

Exported = TypeVar("Exported")


@cache
def catalog() -> Catalog:
    """All domains and roles of this installation; the same object every time.

    Raises `OnefactError` naming the module and the cause.
    """
    return discover(VOCABULARY, LAYERS)


def discover(vocabulary: str, layers: Iterable[str]) -> Catalog:
    """Domains and roles of the given packages; see `catalog`."""
    spoken = _import(vocabulary)
    names = [m.name for m in pkgutil.iter_modules(spoken.__path__) if not m.name.startswith("_")]
    modules = [_import(f"{vocabulary}.{name}") for name in names]
    domains = _exported(modules, Domain)
    _unique("domain", (d.name for d in domains))
    for layer in layers:
        _import(layer)
        modules += [_import(f"{layer}.{name}") for name in names if importlib.util.find_spec(f"{layer}.{name}")]
    found = {
        "domains": domains,
        "sources": _exported(modules, Source),
        "deciders": _exported(modules, Decider),
        "enrichers": _exported(modules, Enricher),
        "effects": _exported(modules, Effect),
        "projections": _exported(modules, Projection),
        "sagas": _exported(modules, Saga),
    }
    try:
        made = Catalog(**found)  # type: ignore[arg-type]
    except TypeError as error:
        raise OnefactError(str(error)) from error
    _check(made)
    return made


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise OnefactError(f"module {name} cannot be imported: {type(error).__name__}: {error}") from error


def _exported(modules: Iterable[ModuleType], kind: type[Exported]) -> tuple[Exported, ...]:
    """Module-level objects of a kind, each once however often it is imported elsewhere."""
    found = (value for module in modules for value in vars(module).values() if isinstance(value, kind))
    return tuple({id(value): value for value in found}.values())


def _check(found: Catalog) -> None:
    _unique("model", (table_form(p.model.name) for p in found.projections))
    roles: list[Role] = [*found.processors, *found.projections]
    _unique("role", (role.name for role in roles))
    _unique("source of domain", (s.domain.name for s in found.sources))
    for saga in found.sagas:
        if DeadlinePassed not in saga.domain.events:
            raise OnefactError(f"{saga.name} needs DeadlinePassed among the events of {saga.domain.name}")
    written = set(found.message_types)
    for upcaster in found.upcasters:
        if upcaster.old in written:
            raise OnefactError(f"an upcaster begins with {upcaster.old.__name__}, which is still written to a topic")
    declared = set(found.topics)
    for user, topic in _topics_used(found):
        if topic not in declared:
            raise OnefactError(f"{user} uses the topic {topic.name}, which no domain declares")


def _topics_used(found: Catalog) -> Iterator[tuple[str, Topic]]:
    for decider in found.deciders:
        yield decider.name, decider.source
    for enricher in found.enrichers:
        for topic in (enricher.source, *enricher.references, *enricher.also):
            yield enricher.name, topic
    for effect in found.effects:
        yield effect.name, effect.source
    for saga in found.sagas:
        for topic in (*saga.sources, *(domain.topic("commands") for domain in saga.targets)):
            yield saga.name, topic
    for projection in found.projections:
        for topic in projection.sources:
            yield projection.name, topic


def _unique(what: str, names: Iterable[str]) -> None:
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise OnefactError(f"{what} {', '.join(twice)} is defined more than once; each needs a name of its own")
