-- Legal holds: while a ticket is held, none of its messages is deleted by anybody.

create sequence hold_ids as bigint maxvalue 9007199254740991;

-- Each placing and each release of a hold, for good: rows are only ever added.
create table holds (
    application_key integer not null,
    ticket_id bigint not null,
    id bigint not null default nextval('hold_ids'),
    action text not null,
    -- The placing that a release ends.
    placed_id bigint,
    create_time timestamptz not null,
    reason text not null,
    requested_by jsonb,
    token_id text collate "C" not null,
    constraint holds_pkey primary key (application_key, ticket_id, id),
    -- A hold is released once.
    constraint holds_placed_id_key unique (application_key, ticket_id, placed_id),
    constraint holds_placed_id_fkey foreign key (application_key, ticket_id, placed_id)
        references holds (application_key, ticket_id, id),
    constraint holds_action_check check (action in ('PLACED', 'RELEASED')),
    constraint holds_placed_id_check check ((action = 'RELEASED') = (placed_id is not null)),
    constraint holds_reason_check check (char_length(reason) between 1 and 512)
);

alter table tickets
    -- The placing in force; null while the ticket is not held. It stands here because deletions are decided under this row's lock.
    add column hold_id bigint,
    add constraint tickets_hold_id_fkey foreign key (application_key, id, hold_id)
        references holds (application_key, ticket_id, id);
