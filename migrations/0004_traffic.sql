-- The gateways' figures over time, for graphs: one row a gateway and period, whatever the number of buckets and policies.
-- Every length of period is written when a report is merged, so that a long range is read from few long periods; nothing
-- is condensed later, only removed. The same counts as in object_rollups, and those of KMS and upstream, which have no
-- rollups of their own.
create table traffic_rollups (
    period text not null
        constraint traffic_rollups_period_word check (period in ('minute', 'quarter', 'hour', 'day')),
    -- A multiple of the period since 1970 began. A quarter is of an hour.
    starts_at timestamptz not null,
    gateway_id uuid not null constraint traffic_rollups_gateway_fk references gateways (id),
    -- Towards the storage: stored encrypted, stored as they were, of which it cannot be told by the outcome.
    objects_encrypted bigint not null default 0,
    bytes_encrypted bigint not null default 0,
    objects_plain bigint not null default 0,
    bytes_plain bigint not null default 0,
    objects_other bigint not null default 0,
    bytes_other bigint not null default 0,
    -- Towards the clients.
    objects_out bigint not null default 0,
    bytes_out bigint not null default 0,
    -- Refused by a policy; failed. In both directions.
    denied bigint not null default 0,
    failed bigint not null default 0,
    kms_calls bigint not null default 0,
    kms_errors bigint not null default 0,
    upstream_requests bigint not null default 0,
    upstream_errors bigint not null default 0,
    -- Of what is stored, so with what encryption adds: received from the storage, sent to it.
    upstream_bytes_in bigint not null default 0,
    upstream_bytes_out bigint not null default 0,
    constraint traffic_rollups_pk primary key (period, starts_at, gateway_id)
);
create index traffic_rollups_by_gateway on traffic_rollups (gateway_id, period, starts_at);

-- What is known of the past.
insert into traffic_rollups (
    period, starts_at, gateway_id, objects_encrypted, bytes_encrypted, objects_plain, bytes_plain, objects_other,
    bytes_other, objects_out, bytes_out, denied, failed)
select p.period, to_timestamp(floor(extract(epoch from r.starts_at) / p.seconds) * p.seconds), r.gateway_id,
       coalesce(sum(r.objects) filter (where r.direction = 'in' and r.outcome = 'encrypted'), 0),
       coalesce(sum(r.bytes) filter (where r.direction = 'in' and r.outcome = 'encrypted'), 0),
       coalesce(sum(r.objects) filter (
           where r.direction = 'in' and r.outcome in ('plain', 'would-encrypt', 'would-deny', 'error')), 0),
       coalesce(sum(r.bytes) filter (
           where r.direction = 'in' and r.outcome in ('plain', 'would-encrypt', 'would-deny', 'error')), 0),
       coalesce(sum(r.objects) filter (
           where r.direction = 'in' and r.outcome in ('grandfathered', 'indeterminate')), 0),
       coalesce(sum(r.bytes) filter (
           where r.direction = 'in' and r.outcome in ('grandfathered', 'indeterminate')), 0),
       coalesce(sum(r.objects) filter (where r.direction = 'out' and r.outcome not in ('denied', 'failed')), 0),
       coalesce(sum(r.bytes) filter (where r.direction = 'out' and r.outcome not in ('denied', 'failed')), 0),
       coalesce(sum(r.objects) filter (where r.outcome = 'denied'), 0),
       coalesce(sum(r.objects) filter (where r.outcome = 'failed'), 0)
from object_rollups r
join (values ('minute', 60), ('quarter', 900), ('hour', 3600), ('day', 86400)) as p (period, seconds)
  on p.seconds >= case r.period when 'minute' then 60 when 'hour' then 3600 else 86400 end
group by 1, 2, 3;
