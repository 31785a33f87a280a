-- The log of one reason, newest first: pages and counts of it read nothing else. A deletion without a reason pays nothing for it.
create index deletion_logs_reason_idx on deletion_logs (application_key, reason, delete_time, id) where reason is not null;
