-- One row for each deletion, written by the statement that deletes. It holds what identifies the message, never its content.

create sequence deletion_log_ids as bigint maxvalue 9007199254740991;

create table deletion_logs (
    application_key integer not null,
    ticket_id bigint not null,
    id bigint not null default nextval('deletion_log_ids'),
    chat_message_id bigint not null,
    message_id bigint not null,
    user_sendbird_id text collate "C" not null,
    user_type text not null,
    create_time timestamptz not null,
    delete_time timestamptz not null,
    requested_from text not null,
    requested_by jsonb,
    reason text,
    reason_detail text not null,
    token_id text collate "C" not null,
    -- sha256(salt || content), where content is the message, the data and the files as JSON text, each led by its length in bytes as
    -- eight bytes, big end first. The salt is 32 random bytes: without it the digest cannot be tried against guesses.
    content_digest bytea not null,
    content_salt bytea not null,
    constraint deletion_logs_pkey primary key (application_key, ticket_id, id),
    -- A message is deleted once.
    constraint deletion_logs_chat_message_id_key unique (application_key, ticket_id, chat_message_id),
    constraint deletion_logs_user_type_check check (user_type in ('AGENT', 'CUSTOMER', 'EVENT')),
    constraint deletion_logs_requested_from_check check (requested_from in ('DASHBOARD', 'PLATFORM_API')),
    constraint deletion_logs_reason_check check (
        reason in (
            'PRIVACY_REQUEST', 'SENSITIVE_DATA', 'ABUSE', 'SPAM', 'SENT_BY_MISTAKE', 'LEGAL_ORDER', 'RETENTION_ENDED', 'OTHER'
        )
    ),
    constraint deletion_logs_content_digest_check check (length(content_digest) = 32 and length(content_salt) = 32)
);

-- The log is read by time, newest first.
create index deletion_logs_delete_time_idx on deletion_logs (application_key, delete_time, id);
