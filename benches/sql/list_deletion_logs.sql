-- A page of the log and the number of its entries, of the default range of days.
select
    (
        select count(*)
        from deletion_logs
        where application_key = :application_key and delete_time >= :from and delete_time < :until
    ) as total_size,
    l.*
from (
    select id, ticket_id, chat_message_id, message_id, user_sendbird_id, user_type, create_time, delete_time, requested_from, requested_by,
        reason, reason_detail, token_id, content_digest
    from deletion_logs
    where application_key = :application_key and delete_time >= :from and delete_time < :until
    order by delete_time desc, id desc
    limit :page_size
    offset :skip
) l;
