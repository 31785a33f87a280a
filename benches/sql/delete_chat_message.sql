-- Erases one message and logs it. Each client takes its own share of the messages that were made to be deleted, each once.
\set k :client_id + :clients * :turn
\set turn :turn + 1
\set ticket_id 2 + (:k * :stride) % :spread
\set id :first_id + :k
with ticket as materialized (
    select id, status, channel_type, close_time
    from tickets
    where application_key = :application_key and id = :ticket_id
    for no key update
),
message as materialized (
    select m.*
    from ticket
    join chat_messages m on m.application_key = :application_key and m.ticket_id = :ticket_id and m.id = :id
),
erased as (
    update chat_messages m
    set delete_time = greatest(now(), ticket.close_time), requested_from = :requested_from, message = '', data = '', files = '[]'
    from ticket
    cross join message
    where m.application_key = :application_key
        and m.ticket_id = :ticket_id
        and m.message_id = message.message_id
        and m.delete_time is null
        and m.user_type <> 'EVENT'
        and ticket.status = 'CLOSED'
        and ticket.channel_type in ('SENDBIRD', 'SENDBIRD_IOS', 'SENDBIRD_ANDROID', 'SENDBIRD_JAVASCRIPT')
    returning m.message_id, m.delete_time
),
logged as (
    insert into deletion_logs (
        application_key, ticket_id, chat_message_id, message_id, user_sendbird_id, user_type, create_time, delete_time,
        requested_from, reason, reason_detail, token_id, content_salt, content_digest
    )
    select :application_key, :ticket_id, message.id, message.message_id, message.user_sendbird_id, message.user_type, message.create_time,
        erased.delete_time, :requested_from, null, '', :token_id, :salt::bytea,
        sha256(
            :salt::bytea
            || int8send(octet_length(message.message)) || convert_to(message.message, 'UTF8')
            || int8send(octet_length(message.data)) || convert_to(message.data, 'UTF8')
            || int8send(octet_length(message.files::text)) || convert_to(message.files::text, 'UTF8')
        )
    from erased
    join message on message.message_id = erased.message_id
    returning id, message_id, delete_time, content_digest
),
bumped as (
    update tickets
    set version = version + 1
    where application_key = :application_key and id = :ticket_id and exists (select from erased)
)
select ticket.status, ticket.channel_type, message.id, message.message_id, message.user_sendbird_id, message.user_type,
    message.create_time, message.delete_time, message.requested_from, message.requested_by, message.external_id, logged.id as log_id,
    logged.delete_time as log_time, logged.content_digest
from ticket
cross join message
left join logged on logged.message_id = message.message_id;
