//! Where the pages of lists begin: found from the nearest milestone.
//!
//! Where a statement goes from an id to the end of a list, it names the highest id that there can be as the end. To the planner a range of
//! two unknown or open ends is a third of the table, which it may well read whole and sort; one with an end that it knows is small.

use sqlx::PgConnection;

use crate::domain::ids::{ApplicationKey, ChatMessageId, TicketId};
use crate::domain::list_milestone::Place;
use crate::error::Error;
use crate::storage::{Instrument, from_sqlx, named};

/// Finds the page of an application's tickets that begins after the id `after`, passing over `skip`.
///
/// # Errors
/// When the database is away.
pub async fn among_tickets(
    connection: &mut PgConnection,
    application: ApplicationKey,
    after: TicketId,
    skip: i64,
) -> Result<Place, Error> {
    let found = sqlx::query_as!(
        Place,
        r#"
        with total as materialized (
            select coalesce(last.position, 0) + (
                select count(*)
                from tickets t
                where t.application_key = $1 and t.id > coalesce(last.id, 0) and t.id <= 9007199254740991
            ) as size
            from (select) one
            left join (
                select position, id
                from list_milestones
                where application_key = $1 and list = 'tickets'
                order by position desc
                limit 1
            ) last on true
        ),
        passed as materialized (
            select least($3::bigint, total.size) + case when $2::bigint <= 0 then 0 else (
                select coalesce(before.position, 0) + (
                    select count(*)
                    from tickets t
                    where t.application_key = $1 and t.id > coalesce(before.id, 0) and t.id <= $2
                )
                from (select) one
                left join lateral (
                    select position, id
                    from list_milestones
                    where application_key = $1 and list = 'tickets' and id <= $2
                    order by id desc
                    limit 1
                ) before on true
            ) end as count
            from total
            where $3 > 0
        )
        select case
                when passed.count is null then $2
                when passed.count >= total.size then 9007199254740991
                when passed.count = start.position then start.id
                else (
                    select t.id
                    from tickets t
                    where t.application_key = $1 and t.id > coalesce(start.id, 0) and t.id <= 9007199254740991
                    order by t.id
                    limit 1
                    offset passed.count - coalesce(start.position, 0) - 1
                )
            end as "after!",
            total.size as "total_size!"
        from total
        left join passed on true
        left join lateral (
            select position, id
            from list_milestones
            where application_key = $1 and list = 'tickets' and position <= passed.count
            order by position desc
            limit 1
        ) start on true
        "#,
        application.0,
        after.0,
        skip,
    )
    .fetch_one(connection);
    found.instrument(named("list_milestone.place.among_tickets")).await.map_err(from_sqlx)
}

/// Finds the page of an application's messages that begins after the id `after`, passing over `skip`.
///
/// # Errors
/// When the database is away.
pub async fn among_chat_messages(
    connection: &mut PgConnection,
    application: ApplicationKey,
    after: ChatMessageId,
    skip: i64,
) -> Result<Place, Error> {
    let found = sqlx::query_as!(
        Place,
        r#"
        with total as materialized (
            select coalesce(last.position, 0) + (
                select count(*)
                from chat_messages m
                where m.application_key = $1 and m.id > coalesce(last.id, 0) and m.id <= 9007199254740991
            ) as size
            from (select) one
            left join (
                select position, id
                from list_milestones
                where application_key = $1 and list = 'chat_messages'
                order by position desc
                limit 1
            ) last on true
        ),
        passed as materialized (
            select least($3::bigint, total.size) + case when $2::bigint <= 0 then 0 else (
                select coalesce(before.position, 0) + (
                    select count(*)
                    from chat_messages m
                    where m.application_key = $1 and m.id > coalesce(before.id, 0) and m.id <= $2
                )
                from (select) one
                left join lateral (
                    select position, id
                    from list_milestones
                    where application_key = $1 and list = 'chat_messages' and id <= $2
                    order by id desc
                    limit 1
                ) before on true
            ) end as count
            from total
            where $3 > 0
        )
        select case
                when passed.count is null then $2
                when passed.count >= total.size then 9007199254740991
                when passed.count = start.position then start.id
                else (
                    select m.id
                    from chat_messages m
                    where m.application_key = $1 and m.id > coalesce(start.id, 0) and m.id <= 9007199254740991
                    order by m.id
                    limit 1
                    offset passed.count - coalesce(start.position, 0) - 1
                )
            end as "after!",
            total.size as "total_size!"
        from total
        left join passed on true
        left join lateral (
            select position, id
            from list_milestones
            where application_key = $1 and list = 'chat_messages' and position <= passed.count
            order by position desc
            limit 1
        ) start on true
        "#,
        application.0,
        after.0,
        skip,
    )
    .fetch_one(connection);
    found.instrument(named("list_milestone.place.among_chat_messages")).await.map_err(from_sqlx)
}
