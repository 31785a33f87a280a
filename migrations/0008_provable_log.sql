-- The provable log: what is to become an entry, the trees, and who grows them. docs/PROOF.md describes what is in them.

-- The log rows that no tree holds yet: written by the statement that deletes, removed by the transaction that puts them into the tree.
create table pending_leaves (
    application_key integer not null,
    ticket_id bigint not null,
    deletion_log_id bigint not null,
    delete_time timestamptz not null,
    -- In the order in which they are taken.
    constraint pending_leaves_pkey primary key (application_key, deletion_log_id, ticket_id)
);

insert into pending_leaves (application_key, ticket_id, deletion_log_id, delete_time)
select application_key, ticket_id, id, delete_time
from deletion_logs;

-- The entries of an application's tree.
create table log_leaves (
    application_key integer not null,
    -- From 0 up, without gaps.
    leaf_index bigint not null,
    ticket_id bigint not null,
    deletion_log_id bigint not null,
    -- sha256(salt || record). Without the salt nobody can tell of what.
    entry bytea not null,
    salt bytea not null,
    constraint log_leaves_pkey primary key (application_key, leaf_index),
    constraint log_leaves_deletion_log_id_key unique (application_key, ticket_id, deletion_log_id),
    constraint log_leaves_bytes_check check (length(entry) = 32 and length(salt) = 32)
);

-- The tree's hashes, 1 to 256 in a tile. A tile only grows at its end.
create table log_tiles (
    application_key integer not null,
    level smallint not null,
    tile_index bigint not null,
    hashes bytea not null,
    constraint log_tiles_pkey primary key (application_key, level, tile_index),
    constraint log_tiles_hashes_check check (length(hashes) between 32 and 8192 and length(hashes) % 32 = 0)
);

-- Hashes cannot be made smaller.
alter table log_tiles alter column hashes set storage external;

-- How far each tree has grown, and how far it is signed. There is one for every application.
create table log_heads (
    application_key integer not null,
    size bigint not null,
    root bytea not null,
    -- The fence of the sequencer that grew it last.
    fence bigint not null,
    signed_size bigint,
    -- The key that signed, by its name and id.
    signed_by text collate "C",
    checkpoint text,
    constraint log_heads_pkey primary key (application_key),
    constraint log_heads_application_key_fkey foreign key (application_key) references applications (key),
    constraint log_heads_signed_check check (
        signed_size <= size and (signed_size is null) = (checkpoint is null) and (signed_size is null) = (signed_by is null)
    )
-- Grows in place, several times a second.
) with (fillfactor = 50);

insert into log_heads (application_key, size, root, fence)
select key, 0, sha256(''), 0
from applications;

-- Which process grows the trees. It says so again whenever it does; when it has not for a while, another one takes over.
create table log_sequencer (
    only_row boolean not null default true,
    holder text collate "C" not null,
    -- Raised with every new holder: what an older one writes is refused.
    fence bigint not null,
    expire_time timestamptz not null,
    constraint log_sequencer_pkey primary key (only_row),
    constraint log_sequencer_only_row_check check (only_row)
) with (fillfactor = 50);

insert into log_sequencer (holder, fence, expire_time)
values ('', 0, '-infinity');
