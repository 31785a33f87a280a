-- The REST API has one list that is not of a ticket: all messages of an application, ascending by id. Without this index each page of it
-- would sort every message of the application.
create index chat_messages_application_idx on chat_messages (application_key, id);
