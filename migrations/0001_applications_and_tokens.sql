-- Applications are the tenants; tokens are their credentials.

create table applications (
    -- Leads every key of a tenant's table: four bytes instead of a text.
    key integer generated always as identity,
    -- The public name of the tenant, the {id} of a host name desk-api-{id}; so it is a DNS label with room for that prefix.
    id text collate "C" not null,
    name text not null,
    create_time timestamptz not null,
    constraint applications_pkey primary key (key),
    constraint applications_id_key unique (id),
    constraint applications_id_check check (id ~ '^[a-z0-9]([a-z0-9-]{0,52}[a-z0-9])?$')
);

create table tokens (
    -- The public part of a token: it finds the row and stands in logs.
    id text collate "C" not null,
    application_key integer not null,
    name text not null,
    -- The SHA-256 of the secret part. The secret is random, so that it needs no salt and no slow hash.
    secret_digest bytea not null,
    scopes text[] not null,
    -- What a deletion by this token records where the request does not say.
    requested_from text not null,
    requested_by jsonb,
    create_time timestamptz not null,
    expire_time timestamptz,
    revoke_time timestamptz,
    constraint tokens_pkey primary key (id),
    constraint tokens_application_key_fkey foreign key (application_key) references applications (key),
    constraint tokens_secret_digest_check check (length(secret_digest) = 32),
    constraint tokens_requested_from_check check (requested_from in ('DASHBOARD', 'PLATFORM_API'))
);

create index tokens_application_key_idx on tokens (application_key);
