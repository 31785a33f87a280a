-- How much of its quota of deletions each token has used in the hour, where the service is set up to have one. Processes reserve parts of
-- it here and count deletions in memory, so that deletions of one token do not wait for each other at this row.

create table deletion_quotas (
    application_key integer not null,
    -- The public id of the token, or of the key that signs webhooks.
    token_id text collate "C" not null,
    -- The hour in which `reserved` counts. There is one row for each token, whatever the hour, so that nothing has to be removed.
    hour timestamptz not null,
    reserved bigint not null,
    constraint deletion_quotas_pkey primary key (application_key, token_id),
    constraint deletion_quotas_application_key_fkey foreign key (application_key) references applications (key),
    constraint deletion_quotas_reserved_check check (reserved >= 0)
);
