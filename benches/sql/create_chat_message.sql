-- One message at the end of a ticket.
\set ticket_id random(:first_ticket, :last_ticket)
\set external_id random(1, 9007199254740991)
with ticket as materialized (
    select id, message_count
    from tickets
    where application_key = :application_key and id = :ticket_id
    for no key update
),
inserted as (
    insert into chat_messages (
        application_key, ticket_id, message_id, user_sendbird_id, user_type, create_time, message, data, files, external_id
    )
    select :application_key, ticket.id, ticket.message_count + 1, :user_sendbird_id, :user_type, now(), :message, :data, '[]', :external_id
    from ticket
    where not exists (
        select
        from chat_messages m
        where m.application_key = :application_key and m.ticket_id = :ticket_id and m.external_id = :external_id
    )
    returning *
),
counted as (
    update tickets t
    set version = t.version + 1,
        message_count = t.message_count + 1,
        issue_time = coalesce(t.issue_time, case when inserted.user_type = 'CUSTOMER' then inserted.create_time end)
    from inserted
    where t.application_key = :application_key and t.id = :ticket_id
)
select ticket.message_count, m.id, m.message_id, m.ticket_id, m.user_sendbird_id, m.user_type, m.create_time, m.delete_time,
    m.requested_from, m.requested_by, m.message, m.data, m.files, m.external_id
from ticket
cross join (
    select *
    from inserted
    union all
    select *
    from chat_messages
    where application_key = :application_key and ticket_id = :ticket_id and external_id = :external_id
) m;
