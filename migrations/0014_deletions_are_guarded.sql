-- What no statement may do, whoever sends it: empty or change a message without its row in the log, or log what was not deleted
-- (docs/decisions/0021). The rules are checked at the end of each statement, so that the one that deletes meets them and no other way is left.

-- The functions name the schema of the tables: a temporary table of the same name must not deceive them.
do $$
begin
    execute format($function$
        create function check_deletion_is_logged() returns trigger
        language plpgsql
        -- By the key, also where the table was empty when a session planned it.
        set enable_seqscan = off
        as $body$
        begin
            perform from %1$I.deletion_logs l
            where l.application_key = new.application_key
                and l.ticket_id = new.ticket_id
                and l.chat_message_id = new.id
                and l.delete_time = new.delete_time;
            if not found then
                raise exception 'a deleted message has no row in the deletion log'
                    using errcode = 'check_violation', constraint = tg_name, table = tg_table_name, schema = tg_table_schema;
            end if;
            return null;
        end
        $body$
    $function$, current_schema());
    execute format($function$
        create function check_log_has_tombstone() returns trigger
        language plpgsql
        -- By the key, also where the table was empty when a session planned it.
        set enable_seqscan = off
        as $body$
        begin
            perform from %1$I.chat_messages m
            where m.application_key = new.application_key
                and m.ticket_id = new.ticket_id
                and m.message_id = new.message_id
                and m.id = new.chat_message_id
                and m.delete_time = new.delete_time;
            if not found then
                raise exception 'a row of the deletion log has no deleted message'
                    using errcode = 'check_violation', constraint = tg_name, table = tg_table_name, schema = tg_table_schema;
            end if;
            return null;
        end
        $body$
    $function$, current_schema());
end
$$;

create function refuse_change() returns trigger
language plpgsql as $$
begin
    raise exception 'a message is changed by its deletion only'
        using errcode = 'check_violation', constraint = tg_name, table = tg_table_name, schema = tg_table_schema;
end
$$;

create constraint trigger chat_messages_log_check
after insert or update on chat_messages
deferrable initially immediate
for each row
when (new.delete_time is not null)
execute function check_deletion_is_logged();

-- What a deletion writes is written by a deletion: before it and after it these columns stay as they are. But who requested it may be
-- erased from a tombstone.
create constraint trigger chat_messages_content_check
after update of message, data, files, delete_time, requested_from, requested_by on chat_messages
deferrable initially immediate
for each row
when (
    (old.delete_time is not null or new.delete_time is null)
    and (
        old.delete_time is null
        or new.requested_by is not null
        or new.delete_time is distinct from old.delete_time
        or new.requested_from is distinct from old.requested_from
    )
)
execute function refuse_change();

create constraint trigger deletion_logs_tombstone_check
after insert on deletion_logs
deferrable initially immediate
for each row
execute function check_log_has_tombstone();
