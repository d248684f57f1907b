-- reason is a foul's type for a yellow card. event_id is unique by construction: it is the match and the version.
create table {table} (
    match_id text not null,
    version bigint not null,
    card text not null,
    player_id text not null,
    team_id text not null,
    referee_id text not null,
    minute bigint not null,
    stoppage bigint not null,
    reason text not null,
    time timestamptz not null,
    event_id text not null,
    primary key (match_id, version)
);
