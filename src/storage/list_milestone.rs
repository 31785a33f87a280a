//! Milestones of lists, set where no row with a lower id can come any more.

pub mod place;

use sqlx::PgConnection;

use crate::domain::ids::ApplicationKey;
use crate::domain::list_milestone::List;
use crate::error::Error;
use crate::storage::{Instrument, from_sqlx, named};

/// The table of a list and the sequence of its ids.
fn names(list: List) -> (&'static str, &'static str) {
    match list {
        List::Tickets => ("tickets", "ticket_ids"),
        List::ChatMessages => ("chat_messages", "chat_message_ids"),
    }
}

/// The newest id that was given out to any application, whether or not its row is committed; 0 when there is none.
///
/// # Errors
/// When the database is away.
pub async fn newest_id(connection: &mut PgConnection, list: List) -> Result<i64, Error> {
    let (_, sequence) = names(list);
    sqlx::query_scalar!(r#"select coalesce(pg_sequence_last_value($1::text::regclass), 0) as "id!""#, sequence)
        .fetch_one(connection)
        .instrument(named("list_milestone.newest_id"))
        .await
        .map_err(from_sqlx)
}

/// The transactions that are writing to the table of a list, by names that no later transaction has.
///
/// # Errors
/// When the database is away.
pub async fn writers(connection: &mut PgConnection, list: List) -> Result<Vec<String>, Error> {
    let (table, _) = names(list);
    sqlx::query_scalar!(
        r#"
        select distinct virtualtransaction as "name!"
        from pg_locks
        where locktype = 'relation'
            and database = (select oid from pg_database where datname = current_database())
            and relation = $1::text::regclass
            and mode = 'RowExclusiveLock'
        "#,
        table,
    )
    .fetch_all(connection)
    .instrument(named("list_milestone.writers"))
    .await
    .map_err(from_sqlx)
}

/// Whether one of these transactions has not ended, or there is a prepared one: those lose their names, and have no process.
///
/// # Errors
/// When the database is away.
pub async fn is_any_writing(connection: &mut PgConnection, list: List, writers: &[String]) -> Result<bool, Error> {
    let (table, _) = names(list);
    sqlx::query_scalar!(
        r#"
        select exists (
            select
            from pg_locks
            where locktype = 'relation'
                and database = (select oid from pg_database where datname = current_database())
                and relation = $1::text::regclass
                and mode = 'RowExclusiveLock'
                and (virtualtransaction = any ($2) or pid is null)
        ) as "writing!"
        "#,
        table,
        writers,
    )
    .fetch_one(connection)
    .instrument(named("list_milestone.is_any_writing"))
    .await
    .map_err(from_sqlx)
}

/// The applications whose list has a next milestone among the ids up to `settled`. For all tenants in one statement: most have none.
///
/// # Errors
/// When the database is away.
pub async fn due(connection: &mut PgConnection, list: List, settled: i64) -> Result<Vec<ApplicationKey>, Error> {
    let keys = match list {
        List::Tickets => due_of_tickets(connection, settled).await,
        List::ChatMessages => due_of_chat_messages(connection, settled).await,
    };
    Ok(keys.map_err(from_sqlx)?.into_iter().map(ApplicationKey).collect())
}

async fn due_of_tickets(connection: &mut PgConnection, settled: i64) -> Result<Vec<i32>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select a.key
        from applications a
        left join lateral (
            select id
            from list_milestones
            where application_key = a.key and list = 'tickets'
            order by position desc
            limit 1
        ) last on true
        cross join lateral (
            select
            from tickets t
            where t.application_key = a.key and t.id > coalesce(last.id, 0) and t.id <= $1
            order by t.id
            limit 1
            offset 199
        ) next
        order by a.key
        "#,
        settled,
    )
    .fetch_all(connection)
    .instrument(named("list_milestone.due_of_tickets"))
    .await
}

async fn due_of_chat_messages(connection: &mut PgConnection, settled: i64) -> Result<Vec<i32>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select a.key
        from applications a
        left join lateral (
            select id
            from list_milestones
            where application_key = a.key and list = 'chat_messages'
            order by position desc
            limit 1
        ) last on true
        cross join lateral (
            select
            from chat_messages m
            where m.application_key = a.key and m.id > coalesce(last.id, 0) and m.id <= $1
            order by m.id
            limit 1
            offset 199
        ) next
        order by a.key
        "#,
        settled,
    )
    .fetch_all(connection)
    .instrument(named("list_milestone.due_of_chat_messages"))
    .await
}

/// Goes on from the last milestone of a list over at most `limit` rows with ids up to `settled`, below which no row can come any more, and
/// sets the milestones among them. Says how many rows there were. What another process sets at the same time is the same.
///
/// # Errors
/// When the database is away.
pub async fn set(
    connection: &mut PgConnection,
    application: ApplicationKey,
    list: List,
    settled: i64,
    limit: i64,
) -> Result<i64, Error> {
    match list {
        List::Tickets => set_of_tickets(connection, application, settled, limit).await,
        List::ChatMessages => set_of_chat_messages(connection, application, settled, limit).await,
    }
}

async fn set_of_tickets(
    connection: &mut PgConnection,
    application: ApplicationKey,
    settled: i64,
    limit: i64,
) -> Result<i64, Error> {
    sqlx::query_scalar!(
        r#"
        with last as materialized (
            select coalesce(newest.position, 0) as position, coalesce(newest.id, 0) as id
            from (select) one
            left join (
                select position, id
                from list_milestones
                where application_key = $1 and list = 'tickets'
                order by position desc
                limit 1
            ) newest on true
        ),
        passed as materialized (
            select listed.id, last.position + row_number() over (order by listed.id) as position
            from last
            cross join lateral (
                select t.id
                from tickets t
                where t.application_key = $1 and t.id > last.id and t.id <= $2
                order by t.id
                limit $3
            ) listed
        ),
        inserted as (
            insert into list_milestones (application_key, list, position, id)
            select $1, 'tickets', position, id
            from passed
            where position % 200 = 0
            order by position
            on conflict do nothing
        )
        select count(*) as "count!"
        from passed
        "#,
        application.0,
        settled,
        limit,
    )
    .fetch_one(connection)
    .instrument(named("list_milestone.set_of_tickets"))
    .await
    .map_err(from_sqlx)
}

async fn set_of_chat_messages(
    connection: &mut PgConnection,
    application: ApplicationKey,
    settled: i64,
    limit: i64,
) -> Result<i64, Error> {
    sqlx::query_scalar!(
        r#"
        with last as materialized (
            select coalesce(newest.position, 0) as position, coalesce(newest.id, 0) as id
            from (select) one
            left join (
                select position, id
                from list_milestones
                where application_key = $1 and list = 'chat_messages'
                order by position desc
                limit 1
            ) newest on true
        ),
        passed as materialized (
            select listed.id, last.position + row_number() over (order by listed.id) as position
            from last
            cross join lateral (
                select m.id
                from chat_messages m
                where m.application_key = $1 and m.id > last.id and m.id <= $2
                order by m.id
                limit $3
            ) listed
        ),
        inserted as (
            insert into list_milestones (application_key, list, position, id)
            select $1, 'chat_messages', position, id
            from passed
            where position % 200 = 0
            order by position
            on conflict do nothing
        )
        select count(*) as "count!"
        from passed
        "#,
        application.0,
        settled,
        limit,
    )
    .fetch_one(connection)
    .instrument(named("list_milestone.set_of_chat_messages"))
    .await
    .map_err(from_sqlx)
}
