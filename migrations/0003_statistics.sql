-- What the gateways count, exactly once.

-- The mark of each series of counters: everything up to `high_water` is merged. Its row lock puts reports in order.
create table report_series (
    gateway_id uuid not null constraint report_series_gateway_fk references gateways (id),
    -- The lifetime of the gateway's local counters.
    series uuid not null,
    high_water bigint not null default 0 constraint report_series_high_water_range check (high_water >= 0),
    -- Where what the last merged report covers ends.
    covered_to timestamptz,
    reported_at timestamptz not null default now(),
    -- Sequences that never came.
    missing bigint not null default 0,
    -- Reports that came again and changed nothing.
    replays bigint not null default 0,
    -- Of which nothing is known, after losses of power; cumulative, as the gateway says.
    unknown_ms bigint not null default 0,
    constraint report_series_pk primary key (gateway_id, series)
);

-- Cumulative counts of one series. The fleet's totals are sums over these.
create table object_totals (
    gateway_id uuid not null,
    series uuid not null,
    bucket text not null,
    -- Empty: no policy was recorded.
    policy text not null,
    outcome text not null,
    direction text not null constraint object_totals_direction_word check (direction in ('in', 'out')),
    objects bigint not null constraint object_totals_objects_range check (objects >= 0),
    -- Of plaintext.
    bytes bigint not null constraint object_totals_bytes_range check (bytes >= 0),
    constraint object_totals_pk primary key (gateway_id, series, bucket, policy, outcome, direction),
    constraint object_totals_series_fk foreign key (gateway_id, series) references report_series (gateway_id, series)
);

-- The same, by the time at which the gateway counted it. Minutes become hours, hours become days.
create table object_rollups (
    period text not null constraint object_rollups_period_word check (period in ('minute', 'hour', 'day')),
    starts_at timestamptz not null,
    gateway_id uuid not null constraint object_rollups_gateway_fk references gateways (id),
    bucket text not null,
    policy text not null,
    outcome text not null,
    direction text not null,
    objects bigint not null,
    bytes bigint not null,
    constraint object_rollups_pk primary key (period, starts_at, gateway_id, bucket, policy, outcome, direction)
);
create index object_rollups_by_time on object_rollups (starts_at);

create table kms_totals (
    gateway_id uuid not null,
    series uuid not null,
    kms text not null,
    operation text not null,
    result text not null,
    calls bigint not null constraint kms_totals_calls_range check (calls >= 0),
    constraint kms_totals_pk primary key (gateway_id, series, kms, operation, result),
    constraint kms_totals_series_fk foreign key (gateway_id, series) references report_series (gateway_id, series)
);

create table upstream_totals (
    gateway_id uuid not null,
    series uuid not null,
    backend text not null,
    result text not null,
    requests bigint not null constraint upstream_totals_requests_range check (requests >= 0),
    bytes_in bigint not null constraint upstream_totals_bytes_in_range check (bytes_in >= 0),
    bytes_out bigint not null constraint upstream_totals_bytes_out_range check (bytes_out >= 0),
    constraint upstream_totals_pk primary key (gateway_id, series, backend, result),
    constraint upstream_totals_series_fk foreign key (gateway_id, series) references report_series (gateway_id, series)
);

-- Reports of a gateway in quarantine: kept, not merged. Dropped when it is settled; the counters are cumulative, so the
-- next report of the gateway that stays brings what these held.
create table reports_aside (
    gateway_id uuid not null constraint reports_aside_gateway_fk references gateways (id),
    series uuid not null,
    sequence bigint not null,
    epoch uuid not null,
    -- The message as it travelled.
    report bytea not null,
    received_at timestamptz not null default now(),
    constraint reports_aside_pk primary key (gateway_id, series, sequence, epoch)
);

-- What a storage holds, as one gateway of its group last saw it. Gateways over one storage are never added up.
create table inventories (
    storage_id uuid constraint inventories_pk primary key,
    gateway_id uuid not null constraint inventories_gateway_fk references gateways (id),
    taken_at timestamptz not null,
    received_at timestamptz not null default now(),
    -- {"buckets": [...], "kms": [...], "backends": [...]}.
    content jsonb not null
);
