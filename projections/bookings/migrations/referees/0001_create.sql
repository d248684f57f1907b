create table {table} (
    referee_id text not null,
    name text not null,
    as_of timestamptz not null,
    event_id text not null,
    primary key (referee_id)
);
