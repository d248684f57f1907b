-- Nobody may see less than nothing, nor more kept than there is: a fact that says so stops its partition.
create table {table} (
    sku text collate "C" not null primary key,
    on_hand bigint not null check (on_hand >= 0),
    reserved bigint not null check (reserved >= 0 and reserved <= on_hand),
    shipped bigint not null check (shipped >= 0),
    version bigint not null,
    as_of timestamptz not null
) with (fillfactor = 80);
