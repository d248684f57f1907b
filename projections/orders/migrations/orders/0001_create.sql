-- `lines` is a JSON array: [{"sku": ..., "quantity": ..., "unit_price": "..."}]; cast it, `lines::jsonb`, to look into it.
-- A fact sets the columns that it knows, so only those that every fact knows are `not null`.
create table {table} (
    order_id text collate "C" not null primary key,
    customer_id text not null,
    status text not null check (status in ('placed', 'cancelling', 'confirmed', 'cancelled')),
    reason text,
    currency text,
    total numeric check (total > 0),
    lines text,
    placed_at timestamptz,
    cancel_asked_at timestamptz,
    confirmed_at timestamptz,
    cancelled_at timestamptz,
    notified_at timestamptz,
    version bigint not null,
    check (confirmed_at is null or cancelled_at is null)
) with (fillfactor = 80);
