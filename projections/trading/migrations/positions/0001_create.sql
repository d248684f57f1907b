create table {table} (
    portfolio_id text not null,
    symbol text not null,
    quantity numeric not null,
    average_cost numeric not null,
    realised_profit numeric not null,
    primary key (portfolio_id, symbol)
);
