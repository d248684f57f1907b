-- name is empty for a referee who has shown cards in matches of others only.
create table {table} (
    referee_id text not null,
    name text,
    matches bigint not null,
    yellow_cards bigint not null,
    red_cards bigint not null,
    as_of timestamptz,
    event_id text,
    primary key (referee_id)
);
