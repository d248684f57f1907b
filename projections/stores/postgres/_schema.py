"""What must be in the database before rows can be: bookkeeping, a table per version, migrations, the view."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg import errors, sql

from eventlog.errors import BadInput, OnefactError
from eventlog.models import Model, Table, table_form
from projections.stores._versions import FIRST_VERSION
from projections.stores.postgres._batch import SQL_TYPES

PREPARE_LOCK = 0x6F6E6566616374
"""Advisory lock (the name in ASCII): whoever changes tables holds it, so workers that start together take turns."""

# `note` was not there at first; asked for before it is added, since adding locks the table, if only to find it there.
# `fence` is new whenever a progress row is made or its version is replaced: an owner from before cannot match it.
BOOKKEEPING = """
CREATE SCHEMA IF NOT EXISTS onefact;
CREATE TABLE IF NOT EXISTS onefact.versions (
    model text NOT NULL, version integer NOT NULL, live boolean NOT NULL,
    created timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (model, version));
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'onefact.versions'::regclass AND attname = 'note') THEN
        ALTER TABLE onefact.versions ADD COLUMN note text NOT NULL DEFAULT '';
    END IF;
END $$;
CREATE TABLE IF NOT EXISTS onefact.models (model text PRIMARY KEY, last integer NOT NULL, previous integer);
CREATE UNIQUE INDEX IF NOT EXISTS versions_live ON onefact.versions (model) WHERE live;
CREATE TABLE IF NOT EXISTS onefact.progress (
    model text NOT NULL, version integer NOT NULL, topic text NOT NULL, partition integer NOT NULL,
    next bigint NOT NULL, fence uuid NOT NULL DEFAULT gen_random_uuid(),
    PRIMARY KEY (model, version, topic, partition)) WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS onefact.migrations (
    model text NOT NULL, version integer NOT NULL, name text NOT NULL, digest text NOT NULL,
    applied timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (model, version, name));
"""

_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,50}")
_MIGRATION = re.compile(r"\d{4}_\w+\.sql")
_CATALOGUE_TYPES = {"timestamp with time zone": "timestamptz"}

Connection = psycopg.Connection[Any]


def table_name(model: Model, version: int) -> str:
    return f"{table_form(model.name)}_v{version}"


def checked(model: Model) -> Table:
    """The model as a table; raises `BadInput` where it is none, or its name cannot be a table's."""
    if not isinstance(model, Table):
        raise BadInput(f"read model {model.name} is not a Table; Postgres keeps only those")
    if not _NAME.fullmatch(model.name):
        raise BadInput(f"read model {model.name!r}: the name of a table is a-z, 0-9, _ and -, 51 characters at most")
    return model


def prepare(connection: Connection, models: Iterable[Model]) -> None:
    """Make and check everything, each model in its own transaction; waits for others who do the same."""
    for model in [checked(model) for model in models]:
        with connection.transaction():
            for version, live in begin(connection, model):
                _prepare(connection, model, version, live)


def check_server(connection: Connection) -> None:
    """Raise `OnefactError` where a crash may take rows and leave their position."""
    for name in ("fsync", "full_page_writes"):
        row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
        if row == ("off",):
            raise OnefactError(
                f"Postgres runs with {name}=off: a crash may lose rows whose position it keeps; set {name}=on "
                "(ONEFACT_UNSAFE_STORES=true for data that may be lost)"
            )


def lock(connection: Connection) -> None:
    """Hold the right to change tables until the transaction ends."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", [PREPARE_LOCK])


def begin(connection: Connection, model: Table) -> list[tuple[int, bool]]:
    """Take the lock and make the bookkeeping; the versions there are (the first is made), and whether each is live."""
    lock(connection)
    connection.execute(BOOKKEEPING)
    select = "SELECT version, live FROM onefact.versions WHERE model = %s ORDER BY version"
    found = connection.execute(select, [model.name]).fetchall()
    if not found:
        connection.execute("INSERT INTO onefact.versions VALUES (%s, %s, true)", [model.name, FIRST_VERSION])
        _prepare(connection, model, FIRST_VERSION, live=True)
        found = [(FIRST_VERSION, True)]
    return found


def _prepare(connection: Connection, model: Table, version: int, live: bool) -> None:
    if not _exists(connection, table_name(model, version)):
        # Progress without rows would skip facts: whoever removed the table gets it filled from the start.
        _forget(connection, model, version)
    bring_up(connection, model, version)
    if live and _view_columns(connection, model) != list(model.columns):
        show(connection, model, version)


def _exists(connection: Connection, name: str) -> bool:
    row = connection.execute("SELECT to_regclass(quote_ident(%s)) IS NOT NULL", [name]).fetchone()
    return bool(row and row[0])


def _forget(connection: Connection, model: Model, version: int) -> None:
    for kept in ("progress", "migrations"):
        statement = sql.SQL("DELETE FROM onefact.{} WHERE model = %s AND version = %s").format(sql.Identifier(kept))
        connection.execute(statement, [model.name, version])


def bring_up(connection: Connection, model: Table, version: int) -> None:
    """Create the version's table or apply what it lacks; raises `OnefactError` where it is then not the model's."""
    table = table_name(model, version)
    applied: dict[str, str] = dict(
        connection.execute(
            "SELECT name, digest FROM onefact.migrations WHERE model = %s AND version = %s", [model.name, version]
        ).fetchall()
    )
    if not applied and _exists(connection, table):
        raise OnefactError(f"table {table} exists but is not known as a version of {model.name}; rename or drop it")
    for name, text in _migrations(model):
        digest = hashlib.sha256(text.encode()).hexdigest()
        if name not in applied:
            _migrate(connection, model, name, text.replace("{table}", table))
            connection.execute(
                "INSERT INTO onefact.migrations VALUES (%s, %s, %s, %s)", [model.name, version, name, digest]
            )
        elif applied[name] != digest and model.migrations is not None:
            raise OnefactError(f"migration {name} of {model.name} was changed after it was applied; add a new one")
    differences = _differences(connection, model, table)
    if differences:
        raise OnefactError(f"table {table} is not what read model {model.name} declares: {'; '.join(differences)}")


def _migrations(model: Table) -> list[tuple[str, str]]:
    if model.migrations is None:
        return [("0000_generated.sql", _create_table(model))]
    found = sorted(model.migrations.glob("*.sql"))
    strange = [path.name for path in found if not _MIGRATION.fullmatch(path.name)]
    if strange or not found:
        raise OnefactError(
            f"migrations of {model.name} in {model.migrations}: want NNNN_name.sql, found {strange or 'none'}"
        )
    return [(path.name, path.read_text()) for path in found]


def _create_table(model: Table) -> str:
    # Byte order for key text: faster to compare, and the order in which rows are read.
    columns = [
        f'"{name}" {SQL_TYPES[kind]}' + (' COLLATE "C"' if kind == "text" and name in model.key else "")
        for name, kind in model.columns.items()
    ]
    key = ", ".join(f'"{name}"' for name in model.key)
    # Room in each page lets an update stay beside its old row and leave the index alone.
    return f"CREATE TABLE {{table}} ({', '.join(columns)}, PRIMARY KEY ({key})) WITH (fillfactor = 80)"


def _migrate(connection: Connection, model: Table, name: str, statements: str) -> None:
    """Apply one migration; where the view stands in its way, without the view, which is made again afterwards."""
    try:
        with connection.transaction():
            connection.execute(statements)
    except (errors.DependentObjectsStillExist, errors.FeatureNotSupported):
        connection.execute(sql.SQL("DROP VIEW IF EXISTS {}").format(sql.Identifier(table_form(model.name))))
        connection.execute(statements)
    except (errors.ProgrammingError, errors.DataError, errors.IntegrityError) as error:
        raise OnefactError(f"migration {name} of {model.name} fails: {str(error).strip()}") from error


def _differences(connection: Connection, model: Table, table: str) -> list[str]:
    rows = connection.execute(
        """
        SELECT a.attname, format_type(a.atttypid, NULL), coalesce(a.attnum = ANY (i.indkey), false)
        FROM pg_attribute a LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
        WHERE a.attrelid = to_regclass(quote_ident(%s)) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
        """,
        [table],
    ).fetchall()
    if not rows:
        return ["the migrations do not create it"]
    kept = connection.execute(
        "SELECT relpersistence <> 'u' FROM pg_class WHERE oid = to_regclass(quote_ident(%s))", [table]
    ).fetchone()
    found = {name: _CATALOGUE_TYPES.get(kind, kind) for name, kind, _ in rows}
    wanted = {name: SQL_TYPES[kind] for name, kind in model.columns.items()}
    differences = [f"column {name} ({wanted[name]}) is missing" for name in wanted if name not in found]
    differences += [f"column {name} ({found[name]}) is not declared" for name in found if name not in wanted]
    differences += [
        f"column {name} is {found[name]}, not {wanted[name]}"
        for name in wanted
        if name in found and found[name] != wanted[name]
    ]
    if kept == (False,):
        differences.append("it is UNLOGGED: a crash would empty it and leave its position")
    key = sorted(name for name, _, in_key in rows if in_key)
    if key != sorted(model.key):
        differences.append(f"primary key is ({', '.join(key)}), not ({', '.join(model.key)})")
    return differences


def _view_columns(connection: Connection, model: Model) -> list[str]:
    rows = connection.execute(
        """
        SELECT c.relkind, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
        WHERE c.oid = to_regclass(quote_ident(%s)) ORDER BY a.attnum
        """,
        [table_form(model.name)],
    ).fetchall()
    if any(kind not in (b"v", "v") for kind, _ in rows):
        raise OnefactError(
            f"{table_form(model.name)} exists and is no view; rename or drop it: the read model's view has that name"
        )
    return [name for _, name in rows]


def show(connection: Connection, model: Model, version: int) -> None:
    """Let the view of the model's name show this version."""
    view = sql.Identifier(table_form(model.name))
    body = sql.SQL("VIEW {} AS SELECT {} FROM {}").format(
        view,
        sql.SQL(", ").join(map(sql.Identifier, model.columns)),
        sql.Identifier(table_name(model, version)),
    )
    try:
        with connection.transaction():
            connection.execute(sql.SQL("CREATE OR REPLACE ") + body)
    except errors.InvalidTableDefinition:
        # Columns were renamed, reordered or changed their type: only a new view can have them.
        connection.execute(sql.SQL("DROP VIEW ") + view)
        connection.execute(sql.SQL("CREATE ") + body)
