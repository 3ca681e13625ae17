-- The certificate authority, the gateways that it knows, and how they came.

-- What signs and what is trusted. Replicas share it; the keys are sealed under the sealing key, which is not here.
create table certificate_authorities (
    generation integer constraint certificate_authorities_pk primary key
        constraint certificate_authorities_generation_range check (generation > 0),
    -- present: signs. next: trusted already, signs after the rotation. past: trusted until `not_after`.
    state text not null constraint certificate_authorities_state_word check (state in ('present', 'next', 'past')),
    -- DER.
    certificate bytea not null,
    -- PKCS#8, sealed for `certificate_authorities/GENERATION`. Null once past: nothing is signed any more.
    sealed_key bytea,
    not_after timestamptz not null,
    created_at timestamptz not null default now(),
    constraint certificate_authorities_key_present check (state = 'past' or sealed_key is not null)
);
create unique index certificate_authorities_one_present on certificate_authorities (state) where state = 'present';
create unique index certificate_authorities_one_next on certificate_authorities (state) where state = 'next';

create table gateways (
    id uuid constraint gateways_pk primary key,
    -- Never used again for another gateway: statistics and audit speak of names.
    name text not null constraint gateways_name_key unique
        constraint gateways_name_shape check (name ~ '^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$'),
    state text not null constraint gateways_state_word
        check (state in ('pending', 'active', 'quarantined', 'suspended', 'retired')),
    state_since timestamptz not null default now(),
    -- For a person: why it was suspended, retired or quarantined.
    state_because text not null default '',
    -- {"region": "eu-1"}: from the enrolment token, never from the gateway.
    labels jsonb not null default '{}',
    created_at timestamptz not null default now(),
    enrolled_at timestamptz not null default now(),
    version text not null default '',
    capabilities text[] not null default '{}',
    storage_id uuid,

    -- The life that is known, and the one before. Unconfirmed: nothing but a hello came from it yet.
    epoch uuid,
    predecessor uuid,
    epoch_confirmed boolean not null default false,
    -- The life that does not follow from it: a clone, until an administrator settles it.
    intruder_epoch uuid,
    intruder_address text,
    intruder_at timestamptz,

    -- Liveness, flushed in aggregate by the replica that holds the stream.
    stream_open boolean not null default false,
    stream_since timestamptz,
    -- Which stream is the newest; an older one of another replica is closed.
    stream uuid,
    last_seen_at timestamptz,
    address text not null default '',
    -- The gateway's clock less Central's.
    clock_skew_ms bigint not null default 0,
    uploads_open bigint not null default 0,
    oldest_upload_at timestamptz,

    -- How far the policy set has come, in numbers of one lineage. Effective implies applied implies received.
    lineage uuid,
    received bigint not null default 0,
    applied bigint not null default 0,
    effective bigint not null default 0,
    effective_at timestamptz,
    constraint gateways_progress_order check (received >= applied and applied >= effective and effective >= 0)
);
create index gateways_by_state on gateways (state);

-- Certificates that may still be presented, also within the renewal window.
create table gateway_certificates (
    serial bytea constraint gateway_certificates_pk primary key,
    gateway_id uuid not null constraint gateway_certificates_gateway_fk references gateways (id),
    authority integer not null constraint gateway_certificates_authority_fk references certificate_authorities (generation),
    -- SHA-256 of the SubjectPublicKeyInfo.
    key_digest bytea not null constraint gateway_certificates_key_digest_length check (octet_length(key_digest) = 32),
    issued_at timestamptz not null default now(),
    not_after timestamptz not null,
    revoked_at timestamptz
);
create index gateway_certificates_by_gateway on gateway_certificates (gateway_id);
create index gateway_certificates_expiry on gateway_certificates (not_after);
create index gateway_certificates_revoked on gateway_certificates (serial) where revoked_at is not null;

-- The bundle that a gateway cannot apply; there until it applies another.
create table gateway_refusals (
    gateway_id uuid constraint gateway_refusals_pk primary key
        constraint gateway_refusals_gateway_fk references gateways (id),
    lineage uuid not null,
    number bigint not null,
    digest bytea not null constraint gateway_refusals_digest_length check (octet_length(digest) = 32),
    -- Closed list of the protocol.
    code text not null,
    item text not null,
    reason text not null,
    -- Null: nothing was held before.
    kept_number bigint,
    -- In which life and version it refused; another may be able to.
    epoch uuid not null,
    version text not null,
    at timestamptz not null default now()
);

-- Gateways that hold more than Central has: Central was restored from an older backup.
create table gateways_ahead (
    gateway_id uuid constraint gateways_ahead_pk primary key
        constraint gateways_ahead_gateway_fk references gateways (id),
    lineage uuid not null,
    number bigint not null,
    digest bytea not null constraint gateways_ahead_digest_length check (octet_length(digest) = 32),
    at timestamptz not null default now()
);
create index gateways_ahead_by_revision on gateways_ahead (lineage, number);

-- One use each. Only a hash of the secret is here (it has 256 random bits, so no slow hash is due).
create table enrolment_tokens (
    id uuid constraint enrolment_tokens_pk primary key,
    secret_hash bytea not null constraint enrolment_tokens_secret_hash_key unique
        constraint enrolment_tokens_secret_hash_length check (octet_length(secret_hash) = 32),
    -- Null: the gateway proposes one. The name of a known gateway: it enrols again.
    name text constraint enrolment_tokens_name_shape check (name ~ '^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$'),
    labels jsonb not null default '{}',
    created_by text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at timestamptz,
    used_by uuid constraint enrolment_tokens_used_by_fk references gateways (id),
    revoked_at timestamptz,
    constraint enrolment_tokens_used_whole check ((used_at is null) = (used_by is null))
);
create index enrolment_tokens_age on enrolment_tokens (created_at, id);
