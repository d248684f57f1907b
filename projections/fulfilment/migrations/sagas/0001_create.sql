-- due is null where nothing is waited for; ended is confirmed, cancelled, or empty.
create table {table} (
    order_id text not null,
    customer_id text,
    total numeric,
    currency text,
    step text not null,
    waits_for text not null,
    since timestamptz not null,
    due timestamptz,
    attempt bigint not null,
    reason text not null,
    problem text not null,
    ended text not null,
    version bigint not null,
    primary key (order_id)
);
create index on {table} (due) where due is not null;
