"""Inventory's read model: what there is of each product."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from eventlog.envelope import Meta
from eventlog.models import Table, Value
from eventlog.operations import Operation, Put
from eventlog.roles import Projection
from schemas.inventory import INVENTORY, InventoryEvent

MIGRATIONS = Path(__file__).parent / "migrations"


def on_stock(event: InventoryEvent, meta: Meta) -> Iterable[Operation]:
    """A product's stock is what its last fact says that there is afterwards."""
    left: dict[str, Value] = {
        "on_hand": event.on_hand,
        "reserved": event.reserved,
        "shipped": event.shipped,
        "version": meta.version,
        "as_of": meta.time,
    }
    return (Put((event.sku,), left),)


STOCK = Projection(
    domain=INVENTORY,
    model=Table(
        "stock",
        ("sku",),
        {
            "sku": "text",
            "on_hand": "integer",
            "reserved": "integer",
            "shipped": "integer",
            "version": "integer",
            "as_of": "time",
        },
        migrations=MIGRATIONS / "stock",
    ),
    sources=(INVENTORY.topic("events"),),
    on=on_stock,
)
