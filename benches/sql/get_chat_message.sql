-- One message by id. The size of a ticket, and the ids in it, are as benches/ratios/dataset.rs loads them.
\set ticket_id random(:first_ticket, :last_ticket)
\set message_id random(1, int(:size_factor / sqrt(:ticket_id)))
\set id :ticket_id * :ids_per_ticket + :message_id
select id, message_id, ticket_id, user_sendbird_id, user_type, create_time, delete_time, requested_from, requested_by, message, data, files,
    external_id
from chat_messages
where application_key = :application_key and ticket_id = :ticket_id and id = :id;
