-- A fact sets the columns that it knows, so only those that every fact knows are `not null`.
-- due is null where nothing is waited for; ended is confirmed, cancelled, or empty.
create table {table} (
    order_id text collate "C" not null primary key,
    customer_id text,
    total numeric,
    currency text,
    step text,
    waits_for text,
    since timestamptz,
    due timestamptz,
    attempt bigint,
    reason text,
    problem text,
    ended text,
    version bigint not null
);
create index on {table} (due) where due is not null;
