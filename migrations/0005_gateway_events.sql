-- What happened to each gateway, for whoever looks at one: connections, refusals, states. The audit has what people did,
-- for good; this is removed after a time.
create table gateway_events (
    id bigint generated always as identity constraint gateway_events_pk primary key,
    gateway_id uuid not null constraint gateway_events_gateway_fk references gateways (id),
    at timestamptz not null default now(),
    kind text not null constraint gateway_events_kind_word
        check (kind in ('enrolled', 'connected', 'disconnected', 'refused', 'state', 'labels')),
    detail jsonb not null default '{}'
);
create index gateway_events_by_gateway on gateway_events (gateway_id, id);
create index gateway_events_by_time on gateway_events (at);
