-- How many deletions of an application are in its log's tree, by when: counted by the transaction that puts them there. With those that
-- wait in pending_leaves they are all. Totals and places in the log follow from them (docs/decisions/0014).

create table deletion_log_counts (
    application_key integer not null,
    -- 'day', 'hour', 'minute' or 'second', as date_trunc has them, in UTC.
    unit text collate "C" not null,
    start_time timestamptz not null,
    count bigint not null,
    constraint deletion_log_counts_pkey primary key (application_key, unit, start_time),
    constraint deletion_log_counts_unit_check check (unit in ('day', 'hour', 'minute', 'second')),
    constraint deletion_log_counts_count_check check (count > 0)
-- The newest of each unit are raised in place, several times a second.
) with (fillfactor = 70);
