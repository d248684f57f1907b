create table {table} (
    match_id text not null,
    version bigint not null,
    headline text not null,
    urgency bigint not null,
    priority text not null,
    kind text not null,
    team_id text not null,
    player_id text not null,
    time timestamptz not null,
    primary key (match_id, version)
);
