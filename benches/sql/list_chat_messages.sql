-- A page of a ticket. The ticket is chosen among a range of them, which may be one.
\set ticket_id random(:first_ticket, :last_ticket)
select t.version, t.message_count, m.id, m.message_id, m.ticket_id, m.user_sendbird_id, m.user_type, m.create_time, m.delete_time,
    m.requested_from, m.requested_by, m.message, m.data, m.files, m.external_id
from tickets t
left join lateral (
    select *
    from chat_messages
    where application_key = t.application_key and ticket_id = t.id and message_id > :skip
    order by message_id
    limit :page_size
) m on true
where t.application_key = :application_key and t.id = :ticket_id
order by m.message_id;
