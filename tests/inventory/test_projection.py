"""What there is of a product, and that it is never less than nothing."""

from __future__ import annotations

import pytest

from eventlog.models import Value
from eventlog.operations import Change
from eventlog.settings import Settings
from eventlog.testing import ProjectionScenario
from projections.inventory import STOCK
from projections.stores import open_store
from schemas.inventory import StockReceived, StockReserved, StockShipped

RECEIVED = StockReceived(sku="mug", on_hand=10, reserved=0, shipped=0, quantity=10)
RESERVED = StockReserved(sku="mug", on_hand=10, reserved=4, shipped=0, order_id="o1", quantity=4)
SHIPPED = StockShipped(sku="mug", on_hand=6, reserved=0, shipped=4, order_id="o1", quantity=4)


def test_stock_is_what_the_last_fact_left() -> None:
    scenario = ProjectionScenario(STOCK).given(RECEIVED, RESERVED)
    scenario.then_rows({"sku": "mug", "on_hand": 10, "reserved": 4, "shipped": 0, "version": 2})
    scenario.given(SHIPPED).then_rows({"sku": "mug", "on_hand": 6, "reserved": 0, "shipped": 4, "version": 3})


@pytest.mark.parametrize("wrong", [{"on_hand": -1}, {"reserved": -1}, {"shipped": -1}, {"reserved": 11}], ids=str)
def test_no_table_holds_less_than_nothing(settings: Settings, wrong: dict[str, int]) -> None:
    from datetime import UTC, datetime

    right: dict[str, Value] = {"on_hand": 10, "reserved": 4, "shipped": 0, "version": 1}
    right["as_of"] = datetime(2024, 1, 2, tzinfo=UTC)
    store = open_store("postgres", settings)
    try:
        store.prepare([STOCK.model])
        version = store.create_version(STOCK.model)
        sink = store.sink(STOCK.model, "inventory.events", 0, version)
        following = sink.open()
        sink.apply({("mug",): Change(dict(right))}, following + 1)
        with pytest.raises(Exception, match="check constraint"):
            sink.apply({("mug",): Change({**right, **wrong})}, following + 2)
        row = store.get(STOCK.model, ("mug",), version)
        assert row is not None
        assert row["on_hand"] == 10
        store.drop_version(STOCK.model, version)
    finally:
        store.close()
