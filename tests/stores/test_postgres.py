"""What is Postgres's own: tables and migrations, the view, text it cannot hold, owners that hang."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from eventlog.errors import BadInput, Fenced, OnefactError, ServiceAway
from eventlog.models import Hash, Table
from eventlog.operations import Add, Append, Put, coalesce
from eventlog.storable import original, storable
from projections.stores.postgres import PostgresStore, _batch
from projections.stores.postgres._connection import LOCK_TIMEOUT_MS
from tests.backing import until
from tests.stores import test_values
from tests.stores.conftest import COLUMNS, Subject, fresh_name

CREATE = "create table {table} (id text primary key, amount numeric not null default 0);"


def migrated(folder: Path, **files: str) -> Table:
    for name, text in files.items():
        (folder / f"{name}.sql").write_text(text)
    return Table(fresh_name(), ("id",), {"id": "text", "amount": "decimal"}, migrations=folder)


def test_migrations_make_the_table_and_later_ones_reach_every_version(postgres: Subject, tmp_path: Path) -> None:
    store = postgres.store
    model = migrated(tmp_path, **{"0001_create": CREATE})
    store.prepare([model])
    version = store.create_version(model)
    sink, _ = postgres.opened(model)
    sink.apply(coalesce([Put(("a",), {"amount": Decimal("1.5")})]), 1)
    (tmp_path / "0002_label.sql").write_text(
        "alter table {table} add label text; create index {table}_label on {table} (label);"
        " alter table {table} alter amount type numeric(40, 2);"
    )
    wider = replace(model, columns={"id": "text", "label": "text", "amount": "decimal"})
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: PostgresStore(url_of(postgres)).prepare([wider]), range(4)))
    assert store.get(wider, ("a",)) == {"id": "a", "label": None, "amount": Decimal("1.5")}
    assert postgres.rows(wider, version) == []
    assert postgres.sql(f"SELECT * FROM {model.name}") == [("a", None, Decimal("1.50"))]
    restarted, _ = postgres.opened(wider)
    restarted.apply(coalesce([Put(("a",), {"label": "x"})]), 2)
    applied = postgres.sql("SELECT version, name FROM onefact.migrations WHERE model = %s ORDER BY 1, 2", model.name)
    assert applied == [(v, name) for v in (1, 2) for name in ("0001_create.sql", "0002_label.sql")]


def url_of(subject: Subject) -> str:
    assert subject.settings is not None
    return subject.settings.postgres


def test_a_migration_that_fails_or_changed_is_named_and_leaves_nothing(postgres: Subject, tmp_path: Path) -> None:
    model = migrated(tmp_path)
    with pytest.raises(OnefactError, match="found none"):
        postgres.store.prepare([model])
    (tmp_path / "0001_create.sql").write_text(CREATE + "create tabel x ()")
    with pytest.raises(OnefactError, match=r"0001_create\.sql .* syntax error"):
        postgres.store.prepare([model])
    assert postgres.store.versions(model) == []
    (tmp_path / "0001_create.sql").write_text(CREATE)
    postgres.store.prepare([model])
    (tmp_path / "0001_create.sql").write_text(CREATE + " ")
    with pytest.raises(OnefactError, match=r"0001_create\.sql .* was changed"):
        postgres.store.prepare([model])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("ALTER TABLE {t} ADD stray int", "column stray .integer. is not declared"),
        ("DROP VIEW {v}; ALTER TABLE {t} DROP label", "column label .text. is missing"),
        ("DROP VIEW {v}; ALTER TABLE {t} ALTER count TYPE text", "column count is text, not bigint"),
        ("ALTER TABLE {t} DROP CONSTRAINT {t}_pkey, ADD PRIMARY KEY (id, label)", r"primary key is \(id, label\)"),
    ],
)
def test_drift_is_named(postgres: Subject, change: str, named: str) -> None:
    model = postgres.model()
    postgres.sql(change.format(t=f"{model.name}_v1", v=model.name))
    with pytest.raises(OnefactError, match=named):
        postgres.store.prepare([model])


def test_tables_that_are_not_ours_are_left_alone(postgres: Subject) -> None:
    view, table = (Table(fresh_name(), ("id",), COLUMNS) for _ in range(2))
    postgres.sql(f"CREATE TABLE public.{view.name} (id text)")
    postgres.sql(f"CREATE TABLE public.{table.name}_v1 (id text)")
    with pytest.raises(OnefactError, match="is no view"):
        postgres.store.prepare([view])
    with pytest.raises(OnefactError, match="is not known as a version"):
        postgres.store.prepare([table])


def test_a_name_with_a_hyphen_is_a_table_with_an_underscore(postgres: Subject) -> None:
    model = Table(fresh_name("a-b"), ("id",), {"id": "text", "n": "integer"})
    postgres.store.prepare([model])
    sink, _ = postgres.opened(model)
    sink.apply(coalesce([Put(("x",), {"n": 1})]), 1)
    version = postgres.store.create_version(model)
    again, _ = postgres.opened(model, version=version)
    again.apply(coalesce([Put(("x",), {"n": 2})]), 1)
    assert postgres.store.switch(model, version, {("facts", 0): 1})
    name = model.name.replace("-", "_")
    assert postgres.sql(f"SELECT n FROM {name}") == [(2,)]
    assert postgres.sql(f"SELECT n FROM {name}_v1") == [(1,)]
    assert postgres.store.get(model, ("x",)) == {"id": "x", "n": 2}
    assert postgres.rows(model, 1) == [{"id": "x", "n": 1}]
    postgres.store.drop_version(model, 1)
    assert postgres.store.versions(model) == [version]


@pytest.mark.parametrize("name", ["Bad", "a b", "x" * 60, 'a"b', ""])
def test_a_name_that_no_table_can_have_is_refused(postgres: Subject, name: str) -> None:
    with pytest.raises(BadInput):
        postgres.store.prepare([Table(name, ("id",), COLUMNS)])
    with pytest.raises(BadInput, match="not a Table"):
        postgres.store.prepare([Hash("fine", ("id",), COLUMNS)])


def test_sql_users_read_the_live_version_through_the_view(postgres: Subject) -> None:
    model = postgres.model()
    sink, _ = postgres.opened(model)
    sink.apply(coalesce([Put(("a",), {"count": 1})]), 1)
    version = postgres.store.create_version(model)
    rebuilt, _ = postgres.opened(model, version=version)
    rebuilt.apply(coalesce([Put(("a",), {"count": 2})]), 1)
    assert postgres.sql(f"SELECT id, count FROM {model.name}") == [("a", 1)]
    assert postgres.store.switch(model, version, {("facts", 0): 1})
    assert postgres.sql(f"SELECT id, count FROM {model.name}") == [("a", 2)]
    postgres.store.drop_version(model, 1)
    assert postgres.sql("SELECT to_regclass(%s)", f"{model.name}_v1") == [(None,)]


def test_nul_is_shown_and_no_two_texts_become_one() -> None:
    texts = ["\x00", "\u2400", "\u241b\u2400", "\u241b", "\u241b\u241b", "\u241b\x00", "a\x00b", "\x00\u2400"]
    assert storable("a\x00b") == "a\u2400b"
    assert len({storable(text) for text in texts}) == len(texts)
    assert [original(storable(text)) for text in texts] == texts


@pytest.mark.parametrize("rows", [1, 5_000])
def test_a_row_appended_twice_is_a_loud_error(postgres: Subject, rows: int) -> None:
    model = postgres.model()
    sink, _ = postgres.opened(model)
    sink.apply(coalesce([Append((str(n),), {}) for n in range(rows)]), 1)
    with pytest.raises(psycopg.errors.UniqueViolation):
        sink.apply(coalesce([Append((str(n),), {}) for n in range(rows)]), 2)
    assert sink.open() == 1


def test_lost_bookkeeping_and_lost_tables_are_made_again(postgres: Subject) -> None:
    model = postgres.model()
    sink, _ = postgres.opened(model)
    sink.apply(coalesce([Add(("a",), {"count": 1})]), 1)
    postgres.sql(f"DROP VIEW {model.name}; DROP TABLE {model.name}_v1")
    postgres.store.prepare([model])
    with pytest.raises(Fenced):
        sink.apply(coalesce([Add(("a",), {"count": 1})]), 2)
    assert sink.open() == 0
    postgres.sql(f"DROP SCHEMA onefact CASCADE; DROP VIEW {model.name}; DROP TABLE {model.name}_v1")
    with pytest.raises(Fenced):
        sink.apply(coalesce([Add(("a",), {"count": 1})]), 1)
    assert postgres.store.progress(model) == {}
    assert sink.open() == 0


def test_odd_text_goes_through_copy_too(postgres: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_batch, "COPY_ROWS_MIN", 1)
    test_values.test_any_text_goes_in_and_comes_out(postgres)
    model = postgres.model()
    sink, _ = postgres.opened(model)
    for position, text in enumerate(test_values.ODD, 1):  # alone, so that no other character calls for escapes
        sink.apply(coalesce([Put((text,), {"label": text})]), position)
        row = postgres.store.get(model, (text,))
        assert row is not None and row["label"] == text


def test_a_switch_waits_for_the_batch_that_is_being_committed(postgres: Subject) -> None:
    model = postgres.model()
    postgres.opened(model)[0].apply({}, 5)
    version = postgres.store.create_version(model)
    with psycopg.connect(url_of(postgres)) as writer, ThreadPoolExecutor(1) as pool:
        writer.execute("UPDATE onefact.progress SET next = 6 WHERE model = %s AND version = 1", [model.name])
        switch = pool.submit(postgres.store.switch, model, version, {("facts", 0): 5})
        assert not done_soon(switch)
        writer.commit()
        assert switch.result() is False
    assert postgres.store.live_version(model) == 1


def test_a_sink_that_opens_during_a_switch_finds_the_new_version(postgres: Subject) -> None:
    model = postgres.model()
    version = postgres.store.create_version(model)
    sink = postgres.sink(model)
    set_live = "UPDATE onefact.versions SET live = %s WHERE model = %s AND version = %s"
    with psycopg.connect(url_of(postgres)) as switch, ThreadPoolExecutor(1) as pool:
        switch.execute(set_live, [False, model.name, 1])
        switch.execute(set_live, [True, model.name, version])
        opening = pool.submit(sink.open)
        assert not done_soon(opening)
        switch.commit()
        assert opening.result() == 0
    sink.apply({}, 3)
    assert postgres.store.progress(model, 1) == {}
    assert postgres.store.progress(model, version) == {("facts", 0): 3}


def done_soon(future: Future[Any]) -> bool:
    """Whether it is done within the time that an unhindered one would take many times over."""
    return bool(wait([future], timeout=0.5).done)


def paused(connection: psycopg.Connection[Any], model: Table) -> None:
    """Leave the connection as an owner stopped in the middle of a COPY does: holding its locks, sending nothing."""
    connection.execute("BEGIN")
    connection.execute("UPDATE onefact.progress SET next = next + 1 WHERE model = %s", [model.name])
    connection.pgconn.send_query(f"COPY {model.name}_v1 (id) FROM STDIN".encode())


def test_an_owner_paused_inside_its_transaction_is_ended_by_the_next(postgres: Subject) -> None:
    model = postgres.model()
    zombie, _ = postgres.opened(model)
    zombie.apply({}, 1)
    paused(zombie._connection, model)  # type: ignore[attr-defined,arg-type]
    owner, position = postgres.opened(model)
    assert position == 1
    with pytest.raises(ServiceAway, match="lock timeout"):
        owner.apply(coalesce([Put(("a",), {})]), 2)
    assert LOCK_TIMEOUT_MS <= 10_000
    assert owner.open() == 1
    owner.apply(coalesce([Put(("a",), {})]), 2)
    assert [row["id"] for row in postgres.rows(model)] == ["a"]


def test_partitions_that_write_the_same_rows_in_other_orders_get_through(postgres: Subject) -> None:
    model, rounds = postgres.model(), 15
    keys = [f"k{n}" for n in range(500)]

    def add(partition: int) -> None:
        sink, position = postgres.opened(model, partition)
        for _ in range(rounds):
            position += 1
            order = keys if partition else reversed(keys)
            sink.apply(coalesce([Add((key,), {"count": 1}) for key in order]), position)

    threads = [threading.Thread(target=add, args=(partition,)) for partition in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {row["count"] for row in postgres.rows(model)} == {2 * rounds}


@pytest.mark.parametrize(
    "url",
    ["postgresql://me:secretword@127.0.0.1:1/x", "postgresql://me:secretword@127.0.0.1:port/x", "nonsense secretword"],
)
def test_no_password_in_an_error(url: str) -> None:
    with pytest.raises(OnefactError) as raised:
        PostgresStore(url).versions(Table("x", ("id",), {"id": "text"}))
    assert "secretword" not in str(raised.value)


@pytest.mark.parametrize("name", ["fsync", "full_page_writes"])
def test_a_server_that_may_lose_rows_and_keep_the_position_is_refused(postgres: Subject, name: str) -> None:
    model = Table(fresh_name(), ("id",), COLUMNS)
    postgres.sql(f"ALTER SYSTEM SET {name} = off")
    try:
        postgres.sql("SELECT pg_reload_conf()")
        until(lambda: postgres.sql(f"SHOW {name}") == [("off",)], f"{name} is off")
        with pytest.raises(OnefactError, match=f"{name}=off"):
            postgres.store.prepare([model])
        PostgresStore(url_of(postgres), unsafe=True).prepare([model])
    finally:
        postgres.sql(f"ALTER SYSTEM RESET {name}")
        postgres.sql("SELECT pg_reload_conf()")
    until(lambda: postgres.sql(f"SHOW {name}") == [("on",)], f"{name} is on")
    postgres.store.prepare([model])


def test_a_commit_is_on_disk_whatever_the_servers_default(postgres: Subject) -> None:
    database = conninfo_to_dict(url_of(postgres))["dbname"]
    postgres.sql(f"ALTER DATABASE {database} SET synchronous_commit = off")
    try:
        assert postgres.sql("SHOW synchronous_commit") == [("off",)]
        sink, _ = postgres.opened(postgres.model())
        connection = sink._connection  # type: ignore[attr-defined]
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
    finally:
        postgres.sql(f"ALTER DATABASE {database} RESET synchronous_commit")


def test_a_table_that_a_crash_would_empty_is_refused(postgres: Subject, tmp_path: Path) -> None:
    model = migrated(tmp_path, **{"0001_create": CREATE.replace("create table", "create unlogged table")})
    with pytest.raises(OnefactError, match="UNLOGGED"):
        postgres.store.prepare([model])


def test_bookkeeping_of_an_older_release_is_added_to(postgres: Subject) -> None:
    store, model = postgres.store, postgres.model()
    assert store.switch(model, store.create_version(model), {})
    postgres.sql("ALTER TABLE onefact.versions DROP COLUMN note")
    postgres.sql("DROP TABLE onefact.models")
    store.prepare([model])
    assert (store.live_version(model), store.previous_version(model), store.notes(model)) == (2, None, {})
    assert (store.create_version(model, "a rebuild"), store.notes(model)) == (3, {3: "a rebuild"})
    assert store.switch(model, 3, {}, 2)
    assert store.previous_version(model) == 2
