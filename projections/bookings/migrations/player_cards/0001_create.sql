create table {table} (
    player_id text not null,
    name text not null,
    team_id text not null,
    team_name text not null,
    yellow_cards bigint not null,
    red_cards bigint not null,
    as_of timestamptz not null,
    event_id text not null,
    primary key (player_id)
);
