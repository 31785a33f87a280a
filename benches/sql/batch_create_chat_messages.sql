-- A batch of messages at the end of one ticket. The external ids are the same in every batch but for their ends.
\set ticket_id random(:first_ticket, :last_ticket)
\set batch random(1, 9007199254740991)
with ticket as materialized (
    select id, message_count
    from tickets
    where application_key = :application_key and id = :ticket_id
    for no key update
),
source as (
    select s.user_sendbird_id, s.user_type, s.create_time, s.message, s.data, s.files, s.external_id || :batch::text as external_id, s.ordinal,
        ticket.message_count + row_number() over (order by s.ordinal) as message_id
    from ticket
    cross join unnest(
        :user_sendbird_ids::text[], :user_types::text[], :create_times::timestamptz[], :messages::text[], :data::text[], :files::jsonb[],
        :external_ids::text[]
    ) with ordinality as s (user_sendbird_id, user_type, create_time, message, data, files, external_id, ordinal)
    where not exists (
        select
        from chat_messages m
        where m.application_key = :application_key and m.ticket_id = :ticket_id and m.external_id = s.external_id || :batch::text
    )
),
inserted as (
    insert into chat_messages (
        application_key, ticket_id, message_id, user_sendbird_id, user_type, create_time, message, data, files, external_id
    )
    select :application_key, :ticket_id, s.message_id, s.user_sendbird_id, s.user_type, s.create_time, s.message, s.data, s.files,
        s.external_id
    from source s
    order by s.ordinal
    returning *
),
counted as (
    update tickets t
    set version = t.version + 1,
        message_count = t.message_count + stored.count,
        issue_time = coalesce(t.issue_time, stored.first_of_customer)
    from (
        select count(*) as count, min(create_time) filter (where user_type = 'CUSTOMER') as first_of_customer
        from inserted
    ) stored
    where t.application_key = :application_key and t.id = :ticket_id and stored.count > 0
),
known as materialized (
    select found.*
    from unnest(:external_ids::text[]) as asked (external_id)
    cross join lateral (
        select *
        from chat_messages m
        where m.application_key = :application_key and m.ticket_id = :ticket_id and m.external_id = asked.external_id || :batch::text
        limit 1
    ) found
)
select ticket.message_count, m.id, m.message_id, m.ticket_id, m.user_sendbird_id, m.user_type, m.create_time, m.delete_time,
    m.requested_from, m.requested_by, m.message, m.data, m.files, m.external_id
from ticket
cross join (
    select *
    from inserted
    union all
    select *
    from known
) m
order by m.message_id;
