-- Milestones of the two lists that are not of one ticket, the tickets and the messages of an application: every two hundredth row in
-- the order of ids, counted once. A page is found from the nearest milestone, a total from the last one (docs/decisions/0010).
-- They rest on this: a statement that draws an id from ticket_ids or chat_message_ids inserts its row itself.

create table list_milestones (
    application_key integer not null,
    -- The table that is listed.
    list text collate "C" not null,
    -- How many of the application's rows have this id or a lower one. No row ever goes, and a milestone is set only when no row with a
    -- lower id can come any more, so that this stays true and a milestone is never changed.
    position bigint not null,
    id bigint not null,
    -- Found by how many rows are passed over, and by the row that a page begins after.
    constraint list_milestones_pkey primary key (application_key, list, position),
    constraint list_milestones_id_key unique (application_key, list, id),
    constraint list_milestones_application_key_fkey foreign key (application_key) references applications (key),
    constraint list_milestones_list_check check (list in ('tickets', 'chat_messages')),
    constraint list_milestones_position_check check (position > 0 and position % 200 = 0)
);
