-- What the request_id of a mutating call led to, kept in the transaction of its effect. Ids only: an answer is built again from the
-- rows, so that erased content cannot come back from here.

create table requests (
    application_key integer not null,
    request_id uuid not null,
    -- SHA-256 of the method and the request: the same id with another request is refused.
    digest bytea not null,
    create_time timestamptz not null,
    -- Null only inside the transaction that writes the row.
    ticket_id bigint,
    -- The messages that the call made or deleted, in the order of its answer, and which of them were duplicates.
    chat_message_ids bigint[] not null default '{}',
    duplicates boolean[] not null default '{}',
    constraint requests_pkey primary key (application_key, request_id),
    constraint requests_digest_check check (length(digest) = 32)
);

-- The retention loop removes by age.
create index requests_create_time_idx on requests (create_time);
