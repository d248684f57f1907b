-- event_id is unique by construction: it is the stream and the version, which are the key.
create table {table} (
    order_id text collate "C" not null,
    version bigint not null,
    type text not null,
    time timestamptz not null,
    said text,
    event_id text not null,
    primary key (order_id, version)
);
