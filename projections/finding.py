"""Finds read models by the names that people use."""

from __future__ import annotations

from eventlog.errors import NotFound
from eventlog.models import table_form
from eventlog.roles import Catalog, Projection


def projection_of(catalog: Catalog, name: str) -> Projection:
    """The projection behind a model; raises `NotFound`, listing the models that there are."""
    for projection in catalog.projections:
        if table_form(projection.model.name) == table_form(name):
            return projection
    raise NotFound(f"there is no read model {name!r}; there are {', '.join(p.model.name for p in catalog.projections)}")
