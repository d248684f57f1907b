"""Records within records: one class in two fields, in a list, and absent."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from eventlog.message import Event, Money


class Item(msgspec.Struct, frozen=True):
    """Of a list."""

    name: str
    price: Money
    count: int = 0


class Basket(msgspec.Struct, frozen=True):
    """Used twice, and perhaps a third time."""

    owner: str
    items: tuple[Item, ...] = ()


class Swapped(Event, frozen=True, kw_only=True):
    """Two baskets."""

    stream_field: ClassVar[str] = "key"
    namespace: ClassVar[str] = "onefact.test"

    key: str
    given: Basket
    taken: Basket
    kept: Basket | None = None
    tags: tuple[str, ...] = ()
    amounts: list[Money] = msgspec.field(default_factory=list)
    best: Item | None = None


class Node(msgspec.Struct, frozen=True):
    """Holds itself."""

    name: str
    below: "tuple[Node, ...]" = ()  # noqa: UP037 - it is not defined yet


class Grown(Event, frozen=True, kw_only=True):
    """A tree."""

    stream_field: ClassVar[str] = "key"
    namespace: ClassVar[str] = "onefact.test"

    key: str
    root: Node
