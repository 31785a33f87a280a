-- When a token was used last, to about a minute: so that one that nobody uses can be found and revoked.

alter table tokens add column last_use_time timestamptz;
