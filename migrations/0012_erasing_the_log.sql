-- Erasing old entries of the deletion log: what is personal in an entry's row, and the salts that its digests are hidden with, go; the entry
-- itself and all proofs stay. docs/PROOF.md says what stays, docs/decisions/0016 why it is done by a function.

create sequence log_erasure_ids as bigint maxvalue 9007199254740991;

-- What was erased at once, for good: rows are only ever added. Each becomes an entry of the tree, too.
create table log_erasures (
    application_key integer not null,
    id bigint not null default nextval('log_erasure_ids'),
    erase_time timestamptz not null,
    -- Of deletions before this.
    older_than timestamptz not null,
    cause text not null,
    -- The places of the erased entries in the tree, ascending.
    leaf_indexes bigint[] not null,
    -- What stays of their rows: sha256 of the sha256 of each row's line (see the function), one after the other in the order of the places.
    remains_digest bytea not null,
    constraint log_erasures_pkey primary key (application_key, id),
    constraint log_erasures_cause_check check (cause in ('COMMAND', 'RETENTION')),
    constraint log_erasures_leaf_indexes_check check (cardinality(leaf_indexes) > 0),
    constraint log_erasures_remains_digest_check check (length(remains_digest) = 32)
);

alter table deletion_logs
    alter column content_salt drop not null,
    -- When record and salts were erased; null for an entry that is whole.
    add column erase_time timestamptz,
    add constraint deletion_logs_erase_time_check check (
        (erase_time is null) = (content_salt is not null)
        and (erase_time is null or user_sendbird_id = '' and requested_by is null and reason_detail = '' and token_id = '')
    );

alter table log_leaves
    -- Null once the entry is erased.
    alter column salt drop not null,
    add column erasure_id bigint,
    add constraint log_leaves_erasure_id_key unique (application_key, erasure_id),
    drop constraint log_leaves_act_check,
    add constraint log_leaves_act_check check (
        num_nonnulls(deletion_log_id, hold_id, erasure_id) = 1 and (deletion_log_id is null) = (ticket_id is null)
    ),
    -- Only deletions are erased.
    add constraint log_leaves_salt_check check (salt is not null or deletion_log_id is not null);

alter table pending_acts
    alter column hold_id drop not null,
    add column erasure_id bigint,
    add constraint pending_acts_act_check check (num_nonnulls(hold_id, erasure_id) = 1);

-- Looks at the application's ($1) next entries ($7 at most) after the one of time $5 and id $6 (null: from the first on), oldest first, and erases those that may be:
-- of deletions before $2, which are in the tree and whose tickets are under no legal hold. $3 is the time and $4 the cause of it.
-- Answers how many were looked at, how many of them erased, and the last one's time and id.
--
-- It runs as its owner: who may call it, and may not change the log, can do this to it and nothing else. So it keeps to its own terms
-- whatever it is told: no entry is erased that is younger than 30 days by the database's clock, none of a held ticket, and none without a trace.
create function erase_deletion_logs(integer, timestamptz, timestamptz, text, timestamptz, bigint, integer)
returns table (examined bigint, erased bigint, last_time timestamptz, last_id bigint)
language sql
security definer
as $$
    with candidate as materialized (
        select ticket_id, id, delete_time
        from deletion_logs
        where application_key = $1
            and erase_time is null
            and delete_time < least($2, now() - interval '30 days')
            and (delete_time, id) > (coalesce($5, '-infinity'), coalesce($6, 0))
        order by delete_time, id
        limit $7
    ),
    ticket as materialized (
        -- Locked as every deletion locks them: a hold that is placed at the same time either waits, or is seen here.
        select id
        from tickets
        where application_key = $1 and hold_id is null and id in (select ticket_id from candidate)
        order by id
        for no key update
    ),
    leaf as (
        update log_leaves f
        set salt = null
        from candidate
        join ticket on ticket.id = candidate.ticket_id
        where f.application_key = $1
            and f.ticket_id = candidate.ticket_id
            and f.deletion_log_id = candidate.id
            and f.salt is not null
        returning f.leaf_index, f.ticket_id, f.deletion_log_id
    ),
    erased as (
        update deletion_logs l
        set erase_time = $3, content_salt = null, user_sendbird_id = '', requested_by = null, reason_detail = '', token_id = ''
        from leaf
        where l.application_key = $1 and l.ticket_id = leaf.ticket_id and l.id = leaf.deletion_log_id
        returning leaf.leaf_index, l.*
    ),
    tombstone as (
        update chat_messages m
        set user_sendbird_id = '', requested_by = null
        from erased
        where m.application_key = $1 and m.ticket_id = erased.ticket_id and m.message_id = erased.message_id
    ),
    bumped as (
        update tickets t
        set version = t.version + 1
        from (select distinct ticket_id from erased) changed
        where t.application_key = $1 and t.id = changed.ticket_id
    ),
    erasure as (
        insert into log_erasures (application_key, erase_time, older_than, cause, leaf_indexes, remains_digest)
        select $1, $3, $2, $4, array_agg(leaf_index order by leaf_index),
            sha256(
                string_agg(
                    sha256(
                        convert_to(
                            concat_ws(
                                ' ', leaf_index, ticket_id, id, chat_message_id, message_id, user_type,
                                (extract(epoch from create_time) * 1000000)::bigint, (extract(epoch from delete_time) * 1000000)::bigint,
                                requested_from, coalesce(reason, '-'), encode(content_digest, 'hex')
                            ),
                            'UTF8'
                        )
                    ),
                    ''
                    order by leaf_index
                )
            )
        from erased
        having count(*) > 0
        returning id
    ),
    waiting as (
        insert into pending_acts (application_key, erasure_id)
        select $1, id
        from erasure
    )
    select (select count(*) from candidate), (select count(*) from erased), last.delete_time, last.id
    from (select) as one
    left join (select delete_time, id from candidate order by delete_time desc, id desc limit 1) as last on true
$$;

revoke execute on function erase_deletion_logs(integer, timestamptz, timestamptz, text, timestamptz, bigint, integer) from public;

-- Its tables are those of this schema, whatever the caller has put in front of them.
do $$
begin
    execute format(
        'alter function erase_deletion_logs(integer, timestamptz, timestamptz, text, timestamptz, bigint, integer) set search_path = %I, pg_temp',
        current_schema()
    );
end
$$;
