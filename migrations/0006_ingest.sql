-- Bulk ingest: the keys that sign webhooks, and the events that could not be stored.

create table webhook_keys (
    -- What X-Pusher-Key names.
    key text collate "C" not null,
    application_key integer not null,
    -- A signature is checked with the secret itself, so that it is kept as it is.
    secret text not null,
    name text not null,
    create_time timestamptz not null,
    revoke_time timestamptz,
    constraint webhook_keys_pkey primary key (key),
    constraint webhook_keys_application_key_fkey foreign key (application_key) references applications (key)
);

create index webhook_keys_application_key_idx on webhook_keys (application_key);

create sequence rejected_event_ids as bigint maxvalue 9007199254740991;

create table rejected_events (
    application_key integer not null,
    id bigint not null default nextval('rejected_event_ids'),
    -- The same event, sent again, is kept once: SHA-256 of what identifies it.
    digest bytea not null,
    receive_time timestamptz not null,
    cause text not null,
    -- As it came, in JSON; of a message that is deleted where it comes from, without its content. Text, because JSON may hold what the
    -- database's own JSON type refuses.
    event text not null,
    -- What its message is known by, where that can be read: when the message is deleted, this row goes too.
    external_id text collate "C",
    constraint rejected_events_pkey primary key (application_key, id),
    constraint rejected_events_digest_key unique (application_key, digest),
    constraint rejected_events_digest_check check (length(digest) = 32)
);

create index rejected_events_external_id_idx on rejected_events (application_key, external_id) where external_id is not null;
