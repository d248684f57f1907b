"""Verifications: what somebody changed, removed or added is named, in every store, whether or not the model moves."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import psycopg
import pytest
import redis

from eventlog.errors import OnefactError
from eventlog.models import Model
from eventlog.roles import Projection
from eventlog.sink import Progress, Store
from projections import verify as verifying
from projections.replay import replay
from projections.verify import Verified, verify
from tests.projections.conftest import START, Shop
from tests.projections.shop import CATALOG, ITEMS, RANKING, SHELF, STOCK, Counted


def held(shop: Shop, projection: Projection, **options: object) -> Verified:
    return verify(projection.model.name, shop.settings, catalog=CATALOG, **options)  # type: ignore[arg-type]


def own(found: Verified, shop: str) -> set[tuple[object, str]]:
    """Key and kind of the differences of one shop; other tests have shops of their own."""
    return {(d.key, d.kind) for d in found.differences if str(d.key[0]).startswith(shop)}


@pytest.mark.parametrize("projection", [STOCK, SHELF, RANKING], ids=lambda p: p.model.name)
def test_a_model_is_what_the_log_says(shop: Shop, projection: Projection) -> None:
    name = shop.name()
    shop.append([(Counted(shop=name, item="tea", quantity=Decimal(n)), START) for n in range(50)])
    shop.enrich()
    shop.apply(projection)
    seen: list[tuple[int, int]] = []
    found = held(shop, projection, on_progress=lambda *at: seen.append(at))
    assert (found.identical, found.differing, found.differences) == (True, 0, [])
    assert found.digest_live == found.digest_folded
    assert found.rows == len(shop.reader.read(projection.model.name)) > 0
    assert seen[-1][0] == seen[-1][1]
    assert seen[-1][1] == sum(shop.reader.store(projection.model.name).progress(projection.model).values())
    in_parts = held(shop, projection, passes=3)
    assert (in_parts.identical, in_parts.rows, in_parts.digest_live) == (True, found.rows, found.digest_live)
    assert in_parts.records == 3 * found.records


@pytest.mark.parametrize("passes", [1, 2])
@pytest.mark.parametrize("projection", [STOCK, SHELF], ids=lambda p: p.model.store)
def test_a_version_that_is_removed_meanwhile_is_not_said_to_differ_or_to_be_right(
    shop: Shop, projection: Projection, passes: int
) -> None:
    shop.count(shop.name(), "tea", "3")
    shop.apply(projection)
    replayed: list[bool] = []

    def replays(done: int, total: int) -> None:
        if done > total * (passes - 1) // passes and not replayed:
            replayed.extend(replay(projection.model.name, shop.settings, catalog=CATALOG).switched for _ in range(2))

    with pytest.raises(OnefactError, match=r"version \d+"):
        held(shop, projection, passes=passes, on_progress=replays)
    assert replayed == [True, True]


def test_a_version_that_is_removed_between_two_passes_is_not_said_to_be_right(shop: Shop) -> None:
    shop.count(shop.name(), "tea", "3")
    shop.apply(SHELF)
    calls: list[int] = []
    progress_of = verifying.progress_of

    def removed_before(store: Store, model: Model, version: int) -> Progress:
        calls.append(version)
        if len(calls) == 2:
            assert all(replay("shop_shelf", shop.settings, catalog=CATALOG).switched for _ in range(2))
        return progress_of(store, model, version)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(verifying, "progress_of", removed_before)
        with pytest.raises(OnefactError, match=r"version \d+ of shop_shelf, which was live, was removed"):
            held(shop, SHELF, passes=2)


def spoil(shop: Shop, name: str) -> None:
    """Change a row, remove one, add one by hand, in Postgres and in Redis."""
    stock, shelf, ranking = (shop.reader.store(p.model.name).live_version(p.model) for p in (STOCK, SHELF, RANKING))
    with psycopg.connect(shop.settings.postgres, autocommit=True) as connection:
        table = f"shop_stock_v{stock}"
        for statement in (
            f"UPDATE {table} SET quantity = quantity + 1 WHERE shop = %s AND item = 'tea'",
            f"DELETE FROM {table} WHERE shop = %s AND item = 'milk'",
            f"INSERT INTO {table} VALUES (%s, 'ghost', 1, 1)",
        ):
            assert connection.execute(statement, [name]).rowcount == 1
    with redis.Redis.from_url(shop.settings.redis) as client:
        prefix = f"onefact:shop_shelf:v{shelf}:row:{name}"
        client.hset(f"{prefix}-a", "items.tea", "999")
        assert client.delete(f"{prefix}-b") == 1
        client.hset(f"{prefix}-ghost", mapping={"shop": f"{name}-ghost", "facts": "1"})
        scores = f"onefact:shop_ranking:v{ranking}:scores"
        assert client.zscore(scores, name) is not None
        client.zadd(scores, {name: 10**6})  # the place alone: the exact text beside it is as it was


def tidy(shop: Shop, name: str) -> None:
    """Undo all of that: other tests share the models."""
    for projection in (STOCK, SHELF, RANKING):
        assert replay(projection.model.name, shop.settings, catalog=CATALOG, accept_differences=True).switched
        assert held(shop, projection).identical


@pytest.fixture
def spoiled(shop: Shop) -> Iterator[str]:
    name = shop.name()
    shop.append(
        [
            (Counted(shop=each, item=item, quantity=Decimal(3)), START)
            for each in (name, f"{name}-a", f"{name}-b")
            for item in ("tea", "milk")
        ]
    )
    shop.enrich()
    for projection in (STOCK, SHELF, RANKING):
        shop.apply(projection)
    spoil(shop, name)
    yield name
    tidy(shop, name)


def test_what_was_changed_by_hand_is_named(shop: Shop, spoiled: str) -> None:
    found = held(shop, STOCK)
    assert (found.identical, found.changed, found.missing, found.extra) == (False, 1, 1, 1)
    assert own(found, spoiled) == {
        ((spoiled, "tea"), "changed"),
        ((spoiled, "milk"), "missing"),
        ((spoiled, "ghost"), "extra"),
    }
    (changed,) = (d for d in found.differences if d.kind == "changed")
    assert changed.columns == ["quantity"]
    assert changed.live is not None
    assert changed.folded is not None
    assert (changed.live["quantity"], changed.folded["quantity"]) == (4, 3)
    assert found.digest_live != found.digest_folded
    assert own(held(shop, STOCK, passes=4), spoiled) == own(found, spoiled)
    assert own(held(shop, SHELF), spoiled) == {
        ((f"{spoiled}-a",), "changed"),
        ((f"{spoiled}-b",), "missing"),
        ((f"{spoiled}-ghost",), "extra"),
    }
    assert own(held(shop, RANKING), spoiled) == {((spoiled,), "changed")}
    assert held(shop, ITEMS).identical


def test_it_is_found_while_workers_go_on_and_nothing_else_is(shop: Shop, spoiled: str) -> None:
    others = [shop.name() for _ in range(20)]

    def produce() -> None:
        shop.append([(Counted(shop=name, item="tea", quantity=Decimal(1)), START) for name in others * 3])

    for projection in (STOCK, SHELF):
        with shop.writing(projection, produce):
            found = held(shop, projection)
        assert (found.changed, found.missing, found.extra) == (1, 1, 1), projection.name
        assert len(own(found, spoiled)) == 3
