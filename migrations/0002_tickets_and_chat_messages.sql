-- Tickets and their messages. Keys lead with the application, then the ticket, so that the same schema and statements
-- run on one server and, distributed by ticket, on many.

-- Ids are JSON numbers in the REST API and so stay below 2^53.
create sequence ticket_ids as bigint maxvalue 9007199254740991;
-- Without a cache: within a ticket, whose row is locked, ids ascend as the numbers do.
create sequence chat_message_ids as bigint maxvalue 9007199254740991;

create table tickets (
    application_key integer not null,
    id bigint not null default nextval('ticket_ids'),
    -- Bumped by every change of the ticket or in it: what a reader knows is current while this is the same.
    version bigint not null default 1,
    -- How many messages there are, tombstones included, and the message_id of the newest: numbers are dense, so one counter serves
    -- both. Messages are numbered and deletions decided under this row's lock.
    message_count bigint not null default 0,
    status text not null,
    priority text not null,
    channel_type text not null,
    channel_url text collate "C" not null,
    channel_name text not null,
    customer_id bigint,
    customer_sendbird_id text collate "C" not null,
    customer_display_name text not null,
    agent jsonb,
    agent_group jsonb,
    info text not null,
    custom_fields jsonb not null,
    related_channels text not null,
    create_time timestamptz not null,
    issue_time timestamptz,
    close_time timestamptz,
    close_status text,
    close_comment text,
    constraint tickets_pkey primary key (application_key, id),
    constraint tickets_application_key_fkey foreign key (application_key) references applications (key),
    constraint tickets_status_check check (
        status in ('INITIALIZED', 'PROACTIVE', 'PENDING', 'ACTIVE', 'CLOSED', 'WORK_IN_PROGRESS', 'IDLE')
    ),
    constraint tickets_priority_check check (priority in ('URGENT', 'HIGH', 'MEDIUM', 'LOW')),
    constraint tickets_channel_type_check check (
        channel_type in (
            'SENDBIRD', 'SENDBIRD_IOS', 'SENDBIRD_ANDROID', 'SENDBIRD_JAVASCRIPT', 'FACEBOOK_CONVERSATION', 'FACEBOOK_FEED',
            'TWITTER_STATUS', 'TWITTER_DIRECT_MESSAGE_EVENT', 'INSTAGRAM_COMMENT', 'WHATSAPP_MESSAGE'
        )
    ),
    constraint tickets_message_count_check check (message_count >= 0),
    constraint tickets_close_check check (
        (status = 'CLOSED') = (close_time is not null)
        and (close_time is null) = (close_status is null)
        and (close_time is null) = (close_comment is null)
    )
-- Every message updates version and count in place: room on the page, and no index on them, keeps those updates heap-only.
) with (fillfactor = 70);

create index tickets_channel_url_idx on tickets (application_key, channel_url);
create index tickets_customer_sendbird_id_idx on tickets (application_key, customer_sendbird_id);

create table chat_messages (
    application_key integer not null,
    ticket_id bigint not null,
    -- 1, 2, 3 ... within the ticket: skipping n messages is message_id > n, at any depth.
    message_id bigint not null,
    id bigint not null default nextval('chat_message_ids'),
    user_sendbird_id text collate "C" not null,
    user_type text not null,
    create_time timestamptz not null,
    delete_time timestamptz,
    requested_from text,
    requested_by jsonb,
    message text not null,
    data text not null,
    files jsonb not null,
    -- The sender's own id: what it sends twice is stored once.
    external_id text collate "C",
    constraint chat_messages_pkey primary key (application_key, ticket_id, message_id),
    constraint chat_messages_id_key unique (application_key, ticket_id, id),
    constraint chat_messages_external_id_key unique (application_key, ticket_id, external_id),
    constraint chat_messages_message_id_check check (message_id >= 1),
    constraint chat_messages_user_type_check check (user_type in ('AGENT', 'CUSTOMER', 'EVENT')),
    constraint chat_messages_requested_from_check check (requested_from in ('DASHBOARD', 'PLATFORM_API')),
    -- A tombstone has no content, and only a tombstone says who requested deletion.
    constraint chat_messages_tombstone_check check (
        case
            when delete_time is null then requested_from is null and requested_by is null
            else requested_from is not null and message = '' and data = '' and files = '[]'
        end
    )
-- Deletion empties a row in place.
) with (fillfactor = 85);
