//! The database's own rules: what it refuses whoever asks, and what is true of it after any calls.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, PgConnection, Row};

use crate::support::database::TestDatabase;

/// Each finds what must never be there.
const CONTRADICTIONS: [(&str, &str); 13] = [
    (
        "a ticket that is not held by its one placing without a release, or is held by another",
        "select t.id from tickets t
         left join holds placed
            on placed.application_key = t.application_key and placed.ticket_id = t.id and placed.action = 'PLACED'
            and not exists (
                select from holds released
                where released.application_key = t.application_key and released.ticket_id = t.id and released.placed_id = placed.id
            )
         where t.hold_id is distinct from placed.id",
    ),
    (
        "a ticket whose count is not that of its messages, or whose numbers have a gap",
        "select t.id from tickets t
         left join chat_messages m on m.application_key = t.application_key and m.ticket_id = t.id
         group by t.application_key, t.id
         having t.message_count <> count(m.id) or t.message_count <> coalesce(max(m.message_id), 0)",
    ),
    (
        "a message without its ticket",
        "select m.id from chat_messages m
         left join tickets t on t.application_key = m.application_key and t.id = m.ticket_id where t.id is null",
    ),
    (
        "a tombstone that its log entry does not fit, or that has none",
        "select m.id from chat_messages m
         left join deletion_logs l
            on l.application_key = m.application_key and l.ticket_id = m.ticket_id and l.chat_message_id = m.id
            and l.message_id = m.message_id and l.delete_time = m.delete_time and l.create_time = m.create_time
            and l.user_type = m.user_type and l.user_sendbird_id = m.user_sendbird_id
            and l.requested_from = m.requested_from and l.requested_by is not distinct from m.requested_by
         where m.delete_time is not null and l.id is null",
    ),
    (
        "a log entry without its tombstone",
        "select l.id from deletion_logs l
         left join chat_messages m
            on m.application_key = l.application_key and m.ticket_id = l.ticket_id and m.id = l.chat_message_id
            and m.delete_time is not null
         where m.id is null",
    ),
    (
        "a deleted message of the desk itself or of a social channel",
        "select l.id from deletion_logs l join tickets t on t.application_key = l.application_key and t.id = l.ticket_id
         where l.user_type = 'EVENT' or t.channel_type not like 'SENDBIRD%'",
    ),
    (
        "a log entry that is neither in the tree nor waits for it, or both",
        "select l.id from deletion_logs l
         where (select count(*) from log_leaves f where f.application_key = l.application_key and f.deletion_log_id = l.id)
            + (select count(*) from pending_leaves p where p.application_key = l.application_key and p.deletion_log_id = l.id) <> 1",
    ),
    (
        "a placing or release of a hold that is neither in the tree nor waits for it, or both",
        "select h.id from holds h
         where (select count(*) from log_leaves f where f.application_key = h.application_key and f.hold_id = h.id)
            + (select count(*) from pending_acts p where p.application_key = h.application_key and p.hold_id = h.id) <> 1",
    ),
    (
        "an erasure that is neither in the tree nor waits for it, or both",
        "select e.id from log_erasures e
         where (select count(*) from log_leaves f where f.application_key = e.application_key and f.erasure_id = e.id)
            + (select count(*) from pending_acts p where p.application_key = e.application_key and p.erasure_id = e.id) <> 1",
    ),
    (
        "a tree that has more or fewer entries than its head says, or a gap",
        "select h.size from log_heads h
         where h.size <> (select count(*) from log_leaves f where f.application_key = h.application_key)
            or h.size <> (select coalesce(max(leaf_index) + 1, 0) from log_leaves f where f.application_key = h.application_key)",
    ),
    (
        "counts by time that are not those of the tree's entries",
        "select coalesce(c.count, counted.count) from deletion_log_counts c
         full join (
            select f.application_key, unit.name as unit, date_trunc(unit.name, l.delete_time, 'UTC') as start_time, count(*) as count
            from log_leaves f
            join deletion_logs l on l.application_key = f.application_key and l.ticket_id = f.ticket_id and l.id = f.deletion_log_id
            cross join unnest(array['day', 'hour', 'minute', 'second']) as unit (name)
            group by 1, 2, 3
         ) counted using (application_key, unit, start_time)
         where c.count is distinct from counted.count",
    ),
    (
        "entries that are not in the order of their tickets",
        "select f.deletion_log_id from log_leaves f join log_leaves later
            on later.application_key = f.application_key and later.ticket_id = f.ticket_id and later.leaf_index > f.leaf_index
         where later.deletion_log_id < f.deletion_log_id",
    ),
    (
        "a milestone that does not tell how many rows there are up to it",
        "select s.id from list_milestones s where s.position <> case s.list
            when 'tickets' then (select count(*) from tickets t where t.application_key = s.application_key and t.id <= s.id)
            else (select count(*) from chat_messages m where m.application_key = s.application_key and m.id <= s.id)
         end",
    ),
];

/// Holds after any calls, whatever became of them.
pub async fn assert_sound(database: &TestDatabase) {
    let mut connection = database.connect().await;
    for (contradiction, statement) in CONTRADICTIONS {
        let found = sqlx::query(statement).fetch_all(&mut connection).await.expect("the statement runs");
        let ids: Vec<i64> = found.iter().map(|row| row.get(0)).collect();
        assert!(ids.is_empty(), "{contradiction}: {ids:?}");
    }
}

/// Two tickets, of which 1 is closed; its message 1 is there, its message 2 deleted.
const ROWS: &str = "
    begin;
    -- A tombstone and its log row come in two statements here.
    set constraints all deferred;
    insert into applications (id, name, create_time) values ('acme', 'Acme', now()), ('other', 'Other', now());
    insert into tokens (id, application_key, name, secret_digest, scopes, requested_from, create_time)
    values ('t', 1, 'token', sha256(''), '{}', 'DASHBOARD', now());
    insert into tickets (
        application_key, id, status, priority, channel_type, channel_url, channel_name, customer_sendbird_id, customer_display_name,
        info, custom_fields, related_channels, create_time, close_time, close_status, close_comment
    )
    select 1, id, status, 'LOW', 'SENDBIRD', '', '', 'ada', '', '', '[]', '[]', now(), close_time, close_status, close_status
    from (values (1, 'CLOSED', now(), 'DEFAULT'), (2, 'PENDING', null, null)) t (id, status, close_time, close_status);
    insert into chat_messages (
        application_key, ticket_id, message_id, id, user_sendbird_id, user_type, create_time, delete_time, requested_from, message, data,
        files, external_id
    )
    values (1, 1, 1, 11, 'ada', 'CUSTOMER', now(), null, null, 'hello', '', '[]', 'a'),
        (1, 1, 2, 12, 'ada', 'CUSTOMER', now(), now(), 'DASHBOARD', '', '', '[]', 'b');
    insert into deletion_logs (
        application_key, ticket_id, id, chat_message_id, message_id, user_sendbird_id, user_type, create_time, delete_time, requested_from,
        reason_detail, token_id, content_digest, content_salt
    )
    values (1, 1, 21, 12, 2, 'ada', 'CUSTOMER', now(), now(), 'DASHBOARD', '', 't', sha256(''), sha256(''));
    insert into holds (application_key, ticket_id, id, action, placed_id, create_time, reason, token_id)
    values (1, 1, 41, 'PLACED', null, now(), 'why', 't'), (1, 1, 42, 'RELEASED', 41, now(), 'why', 't');
    insert into requests (application_key, request_id, digest, create_time) values (1, gen_random_uuid(), sha256(''), now());
    insert into deletion_quotas (application_key, token_id, hour, reserved) values (1, 't', now(), 1);
    insert into webhook_keys (key, application_key, secret, name, create_time) values ('k', 1, 's', '', now());
    insert into rejected_events (application_key, id, digest, receive_time, cause, event) values (1, 31, sha256(''), now(), '', '{}');
    insert into list_milestones (application_key, list, position, id) values (1, 'tickets', 200, 41);
    insert into pending_leaves (application_key, ticket_id, deletion_log_id, delete_time) values (1, 1, 1, now());
    insert into log_erasures (application_key, id, erase_time, older_than, cause, leaf_indexes, remains_digest)
    values (1, 1, now(), now(), 'COMMAND', '{0}', sha256(''));
    insert into pending_acts (application_key, number, hold_id) values (1, 1, 41);
    insert into log_leaves (application_key, leaf_index, ticket_id, deletion_log_id, entry, salt)
    values (1, 0, 1, 1, sha256('entry'), sha256('salt'));
    insert into log_tiles (application_key, level, tile_index, hashes) values (1, 0, 0, sha256('leaf'));
    insert into log_heads (application_key, size, root, fence) values (1, 1, sha256('leaf'), 1);
    insert into deletion_log_counts (application_key, unit, start_time, count) values (1, 'day', now(), 1);
    commit;";

/// What is tried, and the constraint that refuses it.
const REFUSED: &[(&str, &str)] = &[
    ("insert into applications overriding system value select * from applications", "applications_pkey"),
    ("update applications set id = 'acme'", "applications_id_key"),
    ("update applications set id = 'Not a DNS label'", "applications_id_check"),
    ("update applications set id = 'acme-'", "applications_id_check"),
    ("update applications set id = repeat('a', 55)", "applications_id_check"),
    ("insert into tokens select * from tokens", "tokens_pkey"),
    ("update tokens set application_key = 99", "tokens_application_key_fkey"),
    ("update tokens set secret_digest = 'short'", "tokens_secret_digest_check"),
    ("update tokens set requested_from = 'ELSEWHERE'", "tokens_requested_from_check"),
    ("insert into tickets select * from tickets", "tickets_pkey"),
    ("update tickets set application_key = 99", "tickets_application_key_fkey"),
    ("update tickets set status = 'LOST' where id = 2", "tickets_status_check"),
    ("update tickets set priority = 'NONE'", "tickets_priority_check"),
    ("update tickets set channel_type = 'FAX'", "tickets_channel_type_check"),
    ("update tickets set message_count = -1", "tickets_message_count_check"),
    ("update tickets set status = 'CLOSED' where id = 2", "tickets_close_check"),
    ("update tickets set status = 'PENDING' where id = 1", "tickets_close_check"),
    ("update tickets set close_status = null where id = 1", "tickets_close_check"),
    ("update tickets set close_comment = 'why' where id = 2", "tickets_close_check"),
    ("insert into chat_messages select * from chat_messages", "chat_messages_pkey"),
    ("update chat_messages set id = 7", "chat_messages_id_key"),
    ("update chat_messages set external_id = 'c'", "chat_messages_external_id_key"),
    ("update chat_messages set message_id = message_id - 1", "chat_messages_message_id_check"),
    ("update chat_messages set user_type = 'ROBOT'", "chat_messages_user_type_check"),
    ("update chat_messages set requested_from = 'ELSEWHERE' where message_id = 2", "chat_messages_requested_from_check"),
    // A message is not blanked in part, and a tombstone gets no content back.
    ("update chat_messages set delete_time = now() where message_id = 1", "chat_messages_tombstone_check"),
    ("update chat_messages set delete_time = now(), message = '' where message_id = 1", "chat_messages_tombstone_check"),
    (
        "update chat_messages set delete_time = now(), requested_from = 'DASHBOARD' where message_id = 1",
        "chat_messages_tombstone_check",
    ),
    ("update chat_messages set requested_from = 'DASHBOARD' where message_id = 1", "chat_messages_tombstone_check"),
    ("update chat_messages set requested_by = '{}' where message_id = 1", "chat_messages_tombstone_check"),
    ("update chat_messages set message = 'back' where message_id = 2", "chat_messages_tombstone_check"),
    ("update chat_messages set data = 'back' where message_id = 2", "chat_messages_tombstone_check"),
    ("update chat_messages set files = '[{}]' where message_id = 2", "chat_messages_tombstone_check"),
    ("update chat_messages set requested_from = null where message_id = 2", "chat_messages_tombstone_check"),
    // Not without a log row, not but by deletion, and not back.
    (
        "update chat_messages set delete_time = now(), requested_from = 'DASHBOARD', message = '', data = '', files = '[]'
         where message_id = 1",
        "chat_messages_log_check",
    ),
    ("update chat_messages set message = 'other words' where message_id = 1", "chat_messages_content_check"),
    ("update chat_messages set delete_time = null, requested_from = null where message_id = 2", "chat_messages_content_check"),
    (
        "create temporary table other as select * from deletion_logs; update other set id = 22, message_id = 1, chat_message_id = 11;
         insert into deletion_logs select * from other",
        "deletion_logs_tombstone_check",
    ),
    ("insert into deletion_logs select * from deletion_logs", "deletion_logs_pkey"),
    (
        "create temporary table again as select * from deletion_logs; update again set id = 22; insert into deletion_logs select * from again",
        "deletion_logs_chat_message_id_key",
    ),
    ("update deletion_logs set user_type = 'ROBOT'", "deletion_logs_user_type_check"),
    ("update deletion_logs set requested_from = 'ELSEWHERE'", "deletion_logs_requested_from_check"),
    ("update deletion_logs set reason = 'WHIM'", "deletion_logs_reason_check"),
    ("update deletion_logs set content_digest = 'short'", "deletion_logs_content_digest_check"),
    ("update deletion_logs set content_salt = 'short'", "deletion_logs_content_digest_check"),
    ("update tickets set hold_id = 43 where id = 1", "tickets_hold_id_fkey"),
    // Not by the hold of another ticket either.
    ("update tickets set hold_id = 41 where id = 2", "tickets_hold_id_fkey"),
    ("insert into holds select * from holds", "holds_pkey"),
    (
        "create temporary table released as select * from holds where id = 42; update released set id = 43;
         insert into holds select * from released",
        "holds_placed_id_key",
    ),
    ("update holds set placed_id = 43 where id = 42", "holds_placed_id_fkey"),
    ("update holds set action = 'FORGOTTEN' where id = 41", "holds_action_check"),
    ("update holds set action = 'RELEASED' where id = 41", "holds_placed_id_check"),
    ("update holds set placed_id = null where id = 42", "holds_placed_id_check"),
    ("update holds set reason = ''", "holds_reason_check"),
    ("update holds set reason = repeat('x', 513)", "holds_reason_check"),
    ("insert into requests select * from requests", "requests_pkey"),
    ("update requests set digest = 'short'", "requests_digest_check"),
    ("insert into deletion_quotas select * from deletion_quotas", "deletion_quotas_pkey"),
    ("update deletion_quotas set application_key = 99", "deletion_quotas_application_key_fkey"),
    ("update deletion_quotas set reserved = -1", "deletion_quotas_reserved_check"),
    ("insert into webhook_keys select * from webhook_keys", "webhook_keys_pkey"),
    ("update webhook_keys set application_key = 99", "webhook_keys_application_key_fkey"),
    ("insert into rejected_events select * from rejected_events", "rejected_events_pkey"),
    (
        "insert into rejected_events select application_key, id + 1, digest, receive_time, cause, event from rejected_events",
        "rejected_events_digest_key",
    ),
    ("update rejected_events set digest = 'short'", "rejected_events_digest_check"),
    ("insert into list_milestones select * from list_milestones", "list_milestones_pkey"),
    ("insert into list_milestones select application_key, list, position + 200, id from list_milestones", "list_milestones_id_key"),
    ("update list_milestones set application_key = 99", "list_milestones_application_key_fkey"),
    ("update list_milestones set list = 'applications'", "list_milestones_list_check"),
    ("update list_milestones set position = 201", "list_milestones_position_check"),
    ("insert into pending_leaves select * from pending_leaves", "pending_leaves_pkey"),
    ("insert into log_leaves select * from log_leaves", "log_leaves_pkey"),
    (
        "insert into log_leaves select application_key, leaf_index + 1, ticket_id, deletion_log_id, entry, salt from log_leaves",
        "log_leaves_deletion_log_id_key",
    ),
    (
        "update log_leaves set ticket_id = null, deletion_log_id = null, hold_id = 41;
         insert into log_leaves (application_key, leaf_index, hold_id, entry, salt) select 1, 1, hold_id, entry, salt from log_leaves",
        "log_leaves_hold_id_key",
    ),
    (
        "update log_leaves set ticket_id = null, deletion_log_id = null, erasure_id = 1;
         insert into log_leaves (application_key, leaf_index, erasure_id, entry, salt) select 1, 1, erasure_id, entry, salt from log_leaves",
        "log_leaves_erasure_id_key",
    ),
    ("update log_leaves set ticket_id = null, deletion_log_id = null, hold_id = 41, salt = null", "log_leaves_salt_check"),
    // What is erased is erased whole, and what is whole has its salt.
    ("update deletion_logs set content_salt = null", "deletion_logs_erase_time_check"),
    ("update deletion_logs set erase_time = now()", "deletion_logs_erase_time_check"),
    ("update deletion_logs set erase_time = now(), content_salt = null, user_sendbird_id = ''", "deletion_logs_erase_time_check"),
    ("insert into log_erasures select * from log_erasures", "log_erasures_pkey"),
    ("update log_erasures set cause = 'WHIM'", "log_erasures_cause_check"),
    ("update log_erasures set leaf_indexes = '{}'", "log_erasures_leaf_indexes_check"),
    ("update log_erasures set remains_digest = 'short'", "log_erasures_remains_digest_check"),
    ("update pending_acts set erasure_id = 1", "pending_acts_act_check"),
    // An entry stands for one act.
    ("update log_leaves set hold_id = 41", "log_leaves_act_check"),
    ("update log_leaves set ticket_id = null, deletion_log_id = null", "log_leaves_act_check"),
    ("update log_leaves set ticket_id = null", "log_leaves_act_check"),
    ("insert into pending_acts select * from pending_acts", "pending_acts_pkey"),
    ("update log_leaves set entry = 'short'", "log_leaves_bytes_check"),
    ("update log_leaves set salt = 'short'", "log_leaves_bytes_check"),
    ("insert into log_tiles select * from log_tiles", "log_tiles_pkey"),
    ("update log_tiles set hashes = ''", "log_tiles_hashes_check"),
    ("update log_tiles set hashes = hashes || 'x'", "log_tiles_hashes_check"),
    ("insert into log_heads select * from log_heads", "log_heads_pkey"),
    ("update log_heads set application_key = 99", "log_heads_application_key_fkey"),
    ("update log_heads set signed_size = 2, signed_by = 'a', checkpoint = 'a'", "log_heads_signed_check"),
    ("update log_heads set signed_size = 1, signed_by = 'a'", "log_heads_signed_check"),
    ("update log_heads set signed_size = 1, checkpoint = 'a'", "log_heads_signed_check"),
    ("insert into log_sequencer select * from log_sequencer", "log_sequencer_pkey"),
    ("insert into deletion_log_counts select * from deletion_log_counts", "deletion_log_counts_pkey"),
    ("update deletion_log_counts set unit = 'week'", "deletion_log_counts_unit_check"),
    ("update deletion_log_counts set count = 0", "deletion_log_counts_count_check"),
    ("update log_sequencer set only_row = false", "log_sequencer_only_row_check"),
];

#[tokio::test]
async fn the_database_itself_refuses_what_its_constraints_name() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    sqlx::raw_sql(ROWS).execute(&mut connection).await.expect("rows that are good");
    for (statement, constraint) in REFUSED {
        let refused = sqlx::raw_sql(*statement).execute(&mut connection).await.expect_err(statement);
        let refused = refused.into_database_error().expect("the database refuses it");
        assert_eq!(refused.constraint(), Some(*constraint), "{statement}: {refused}");
    }
    let tried: BTreeSet<String> = REFUSED.iter().map(|(_, constraint)| (*constraint).to_owned()).collect();
    assert_eq!(tried, constraints(&mut connection).await, "every constraint is tried");
}

async fn constraints(connection: &mut PgConnection) -> BTreeSet<String> {
    // What is unique in a part of a table only is an index without a constraint.
    let statement = "select conname::text from pg_constraint
        where connamespace = 'public'::regnamespace and conrelid <> '_sqlx_migrations'::regclass
        union
        select c.relname::text from pg_index i join pg_class c on c.oid = i.indexrelid
        where c.relnamespace = 'public'::regnamespace and i.indisunique and i.indrelid <> '_sqlx_migrations'::regclass";
    sqlx::query_scalar(AssertSqlSafe(statement.to_owned()))
        .fetch_all(connection)
        .await
        .expect("the constraints")
        .into_iter()
        .collect()
}
