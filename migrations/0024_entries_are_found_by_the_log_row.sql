-- An entry of the tree is found by its log row's id alone, which no two have and which grows as the tree does: so an entry is added at the end
-- of the index, where an index that began with the ticket had a page of its own to write for almost each. And an act has its place in the
-- index of its kind only. The indexes are called as the constraints were.
--
-- A process of before this is as right as ever beside it, but slow at looking for a ticket's newest entry. No released version is among them:
-- so the constraints go in the same step (docs/decisions/0003).

create unique index log_leaves_deletion_log_id_new on log_leaves (application_key, deletion_log_id) where deletion_log_id is not null;
create unique index log_leaves_hold_id_new on log_leaves (application_key, hold_id) where hold_id is not null;
create unique index log_leaves_erasure_id_new on log_leaves (application_key, erasure_id) where erasure_id is not null;

alter table log_leaves
    drop constraint log_leaves_deletion_log_id_key,
    drop constraint log_leaves_hold_id_key,
    drop constraint log_leaves_erasure_id_key;

alter index log_leaves_deletion_log_id_new rename to log_leaves_deletion_log_id_key;
alter index log_leaves_hold_id_new rename to log_leaves_hold_id_key;
alter index log_leaves_erasure_id_new rename to log_leaves_erasure_id_key;

-- Rows come and go by the thousand while the table stays small: what has gone is to be cleared away before it is a multiple of what is there.
alter table pending_leaves set (autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 0);
