-- Who may use Central, what they did, and the fleet's policy set with its history.
-- Constraints and indexes have names: the code maps them to errors by name.

-- People with a local account. A name is never used again for somebody else: the audit speaks of names.
create table operators (
    id uuid constraint operators_pk primary key,
    name text not null constraint operators_name_key unique
        constraint operators_name_shape check (name ~ '^[a-z0-9][a-z0-9._@-]{0,63}$'),
    role text not null constraint operators_role_word
        check (role in ('viewer', 'operator', 'editor', 'approver', 'admin')),
    -- argon2id in PHC form.
    password_hash text not null,
    disabled boolean not null default false,
    failed_logins integer not null default 0 constraint operators_failed_logins_range check (failed_logins >= 0),
    locked_until timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

-- Browser log-ins. The cookie's value is stored only as its SHA-256.
create table sessions (
    token_hash bytea constraint sessions_pk primary key
        constraint sessions_token_hash_length check (octet_length(token_hash) = 32),
    operator_id uuid not null constraint sessions_operator_fk references operators (id) on delete cascade,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    last_used_at timestamptz not null default now()
);
create index sessions_operator on sessions (operator_id);
create index sessions_expiry on sessions (expires_at);

-- API tokens. The secret is stored only as its SHA-256 (it has 256 random bits, so no slow hash is due).
create table api_tokens (
    id uuid constraint api_tokens_pk primary key,
    name text not null constraint api_tokens_name_key unique
        constraint api_tokens_name_shape check (name ~ '^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$'),
    role text not null constraint api_tokens_role_word
        check (role in ('viewer', 'operator', 'editor', 'approver', 'admin')),
    token_hash bytea not null constraint api_tokens_token_hash_key unique
        constraint api_tokens_token_hash_length check (octet_length(token_hash) = 32),
    created_by text not null,
    created_at timestamptz not null default now(),
    -- Null: for ever. Only the token of the configuration is.
    expires_at timestamptz,
    last_used_at timestamptz
);

-- The record of what was done: appended in the transaction of the change, chained by hash, never changed.
create table audit (
    sequence bigint constraint audit_pk primary key constraint audit_sequence_range check (sequence > 0),
    -- Microseconds; what is hashed is what is stored.
    at timestamptz not null,
    actor text not null,
    action text not null,
    subject text not null,
    -- JSON, kept as the text that was hashed.
    detail text not null,
    previous_hash bytea not null constraint audit_previous_hash_length check (octet_length(previous_hash) = 32),
    hash bytea not null constraint audit_hash_length check (octet_length(hash) = 32)
);
create index audit_by_actor on audit (actor, sequence);
create index audit_by_action on audit (action, sequence);

-- The end of the chain; its row lock puts the records in order.
create table audit_head (
    singleton boolean constraint audit_head_pk primary key constraint audit_head_single check (singleton),
    sequence bigint not null,
    hash bytea not null
);
insert into audit_head (singleton, sequence, hash) values (true, 0, decode(repeat('00', 32), 'hex'));

create function audit_is_append_only() returns trigger language plpgsql as $$
begin
    raise exception 'the audit is append-only' using errcode = 'insufficient_privilege', constraint = 'audit_append_only';
end $$;
create trigger audit_no_change before update or delete on audit
    for each row execute function audit_is_append_only();
create trigger audit_no_truncate before truncate on audit
    for each statement execute function audit_is_append_only();

-- The head of the fleet's policy set. Its row lock makes the numbers gapless.
create table policy_head (
    singleton boolean constraint policy_head_pk primary key constraint policy_head_single check (singleton),
    lineage uuid not null,
    -- 0: the empty set before the first revision.
    number bigint not null constraint policy_head_number_range check (number >= 0),
    -- SHA-256 of the document bytes; of the empty set's at number 0.
    digest bytea not null
);

-- Every revision, whole and immutable: what a gateway is sent.
create table policy_revisions (
    lineage uuid not null,
    number bigint not null constraint policy_revisions_number_range check (number > 0),
    -- The bytes of the versioned set document, as they travel.
    document bytea not null,
    format integer not null,
    digest bytea not null constraint policy_revisions_digest_length check (octet_length(digest) = 32),
    created_at timestamptz not null default now(),
    created_by text not null,
    cause text not null constraint policy_revisions_cause_word
        check (cause in ('edit', 'delete', 'apply', 'rollback', 'lineage')),
    -- The number whose content a rollback published again.
    restores bigint,
    constraint policy_revisions_pk primary key (lineage, number)
);

-- Which policies a revision changed, against the one before. The texts are in the set documents.
create table policy_changes (
    lineage uuid not null,
    number bigint not null,
    name text not null,
    uid uuid not null,
    change text not null constraint policy_changes_word check (change in ('added', 'changed', 'removed')),
    constraint policy_changes_pk primary key (lineage, number, name),
    constraint policy_changes_revision_fk foreign key (lineage, number) references policy_revisions (lineage, number)
);
create index policy_changes_by_name on policy_changes (lineage, name, number desc);

create function policy_revision_is_immutable() returns trigger language plpgsql as $$
begin
    raise exception 'a revision is immutable' using errcode = 'insufficient_privilege', constraint = 'policy_revision_immutable';
end $$;
create trigger policy_revisions_no_change before update or delete on policy_revisions
    for each row execute function policy_revision_is_immutable();

-- Answers to creates that named an idempotency key, kept for a day.
create table idempotency_keys (
    -- Who used it: keys of different callers never meet.
    caller text not null,
    key text not null constraint idempotency_keys_key_shape check (length(key) between 1 and 128),
    -- SHA-256 of method, path and body: the same key with another request is refused.
    request_hash bytea not null,
    -- Null while the first request is under way.
    status smallint,
    -- Sealed: an answer may show a secret once.
    body bytea,
    created_at timestamptz not null default now(),
    constraint idempotency_keys_pk primary key (caller, key)
);
create index idempotency_keys_age on idempotency_keys (created_at);
