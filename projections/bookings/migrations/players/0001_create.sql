-- as_of and event_id say which start of a match the row is from: the newest one's.
create table {table} (
    player_id text not null,
    name text not null,
    team_id text not null,
    shirt_number bigint not null,
    as_of timestamptz not null,
    event_id text not null,
    primary key (player_id)
);
