-- event_id is unique by construction: it is the stream and the version, which are the key.
create table {table} (
    portfolio_id text not null,
    version bigint not null,
    type text not null,
    time timestamptz not null,
    symbol text,
    quantity numeric,
    price numeric,
    amount numeric,
    event_id text not null,
    primary key (portfolio_id, version)
);
