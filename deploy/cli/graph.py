"""`onefact bought-together`, `recommend` and `similar`: questions to the graph of purchases."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from deploy.cli.output import Json, print_json, print_table
from eventlog.errors import NotFound

MODEL = "purchases"
CANDIDATES = 5
"""So many times as many customers as are asked for are looked at exactly."""

Limit = Annotated[int, typer.Option(min=1, max=100, help="So many at most.")]
AtLeast = Annotated[
    str | None, typer.Option(metavar="POSITION", help="Wait until the graph has applied what `send --wait` returned.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("bought-together")(bought_together)
    app.command("recommend")(recommend)
    app.command("similar")(similar)


def bought_together(
    sku: Annotated[str, typer.Argument(metavar="SKU")],
    *,
    support: Annotated[int, typer.Option(min=1, help="Of customers who bought both, at least.")] = 3,
    limit: Limit = 10,
    at_least: AtLeast = None,
    as_json: Json = False,
) -> None:
    """Show what customers of a product also bought, by lift: how much more often than chance. Exit code 1: unknown.

    Example: onefact bought-together 85123A --support 5
    """
    question = {"sku": sku, "support": support, "limit": limit}
    _show("bought-together", ("Product", sku), question, at_least, as_json=as_json)


def recommend(
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER")],
    *,
    any_stock: Annotated[bool, typer.Option("--any-stock", help="Also what is out of stock.")] = False,
    limit: Limit = 10,
    at_least: AtLeast = None,
    as_json: Json = False,
) -> None:
    """Show what customers like this one bought and this one has not, as far as it is in stock. Exit code 1: unknown.

    Example: onefact recommend 17850 --json
    """
    question = {"customer": customer, "any_stock": any_stock, "limit": limit}
    _show("recommend", ("Customer", customer), question, at_least, as_json=as_json)


def similar(
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER")],
    *,
    limit: Limit = 10,
    at_least: AtLeast = None,
    as_json: Json = False,
) -> None:
    """Show customers who bought the same: of all products of either, the share of those of both. Exit code 1: unknown.

    Example: onefact similar 17850
    """
    question = {"customer": customer, "candidates": CANDIDATES * limit, "limit": limit}
    _show("similar", ("Customer", customer), question, at_least, as_json=as_json)


def _show(
    question: str, about: tuple[str, str], parameters: dict[str, Any], at_least: str | None, *, as_json: bool
) -> None:
    from projections.reader import Reader

    with Reader() as reader:
        rows = reader.ask(MODEL, question, at_least=at_least, **parameters)
        if not rows and reader.read(MODEL, (*about, "")) is None:
            label, name = about
            raise NotFound(
                f"there is no {label.lower()} {name!r} in {MODEL}: no confirmed order, nor any stock, has it"
            )
    if as_json:
        print_json(rows)
    elif not rows:
        print("nothing: too little is known yet, or there is nothing else")
    else:
        print_table(list(rows[0]), [list(row.values()) for row in rows])
