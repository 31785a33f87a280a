-- Legal holds in the provable log: each placing and each release becomes an entry of its application's tree, too. docs/PROOF.md describes
-- the record, docs/decisions/0015 why the rows are as they are.

-- The placings and releases that no tree holds yet: written by the statement that places or releases, removed by the transaction that puts
-- them into the tree. Deletions wait in pending_leaves, where older programs look for them.
create table pending_acts (
    application_key integer not null,
    -- In the order in which they are taken, in one line with the ids of deletions: both are drawn under the lock on the ticket's row, so
    -- that the tree has what happened in a ticket in the order in which it happened.
    number bigint not null default nextval('deletion_log_ids'),
    hold_id bigint not null,
    constraint pending_acts_pkey primary key (application_key, number)
);

insert into pending_acts (application_key, hold_id)
select application_key, id
from holds
order by id;

alter table log_leaves
    -- A deletion's, as before.
    alter column ticket_id drop not null,
    alter column deletion_log_id drop not null,
    -- The placing or release that the entry stands for. Without the ticket: an older program that grows the tree would take it for the
    -- ticket's newest deletion.
    add column hold_id bigint,
    add constraint log_leaves_hold_id_key unique (application_key, hold_id),
    add constraint log_leaves_act_check check (
        num_nonnulls(deletion_log_id, hold_id) = 1 and (deletion_log_id is null) = (ticket_id is null)
    );

-- From an entry to its row.
create index holds_id_idx on holds (application_key, id);
