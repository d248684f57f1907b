-- symbol is empty for leverage, which is the whole portfolio's.
create table {table} (
    portfolio_id text not null,
    version bigint not null,
    kind text not null,
    symbol text not null,
    time timestamptz not null,
    value numeric not null,
    threshold numeric not null,
    primary key (portfolio_id, version, kind, symbol)
);
