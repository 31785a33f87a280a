//! The place of a page in the log. Without a filter it is found from counts by day, hour, minute and second: at no depth more than a second's
//! entries are passed over. In the log of one reason it is found along the index by reason and time, which holds nothing else.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::domain::deletion::DeletionReason;
use crate::domain::deletion_log::{DayRange, Position, Stretch};
use crate::domain::ids::{ApplicationKey, DeletionLogId};
use crate::error::Error;
use crate::storage::{Instrument, from_sqlx, named};

/// Where a stretch begins.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// How many entries its range has.
    pub total_size: i64,
    /// The same stretch from a position on that is so near that little is passed over.
    pub stretch: Stretch,
}

/// Finds the place of a stretch. What is in the tree is counted already, what waits is counted here: the
/// statement sees each entry as one or the other.
///
/// # Errors
/// When the database is away.
#[expect(clippy::too_many_lines, reason = "the statement is long, and is read best in one piece")]
pub async fn find(connection: &mut PgConnection, application: ApplicationKey, stretch: Stretch) -> Result<Place, Error> {
    let Stretch { range, after, skip, .. } = stretch;
    let row = sqlx::query_as!(
        Row,
        r#"
        with recursive unit (step, name, width) as (
            values (1, 'day', interval '1 day'), (2, 'hour', '1 hour'), (3, 'minute', '1 minute'), (4, 'second', '1 second')
        ),
        waiting as materialized (
            select delete_time
            from pending_leaves
            where application_key = $1 and delete_time >= $2 and delete_time < $3
        ),
        total as materialized (
            select coalesce(sum(count), 0)::bigint + (select count(*) from waiting) as size
            from deletion_log_counts
            where application_key = $1 and unit = 'day' and start_time >= $2 and start_time < $3
        ),
        -- How many entries there are up to the one that the page comes after, those of whole days, hours, minutes and seconds and the rest
        -- of its second, and how many are passed over after it.
        passed as materialized (
            select (
                    select coalesce(sum(c.count), 0)::bigint
                    from unit u
                    join deletion_log_counts c on c.application_key = $1
                        and c.unit = u.name
                        and c.start_time > date_trunc(u.name, $4::timestamptz, 'UTC')
                        and c.start_time < $3
                        and c.start_time < coalesce(
                            (
                                select date_trunc(larger.name, $4::timestamptz, 'UTC') + larger.width
                                from unit larger
                                where larger.step = u.step - 1
                            ),
                            $3
                        )
                )
                + (select count(*) from waiting where delete_time >= date_trunc('second', $4::timestamptz, 'UTC') + interval '1 second')
                + (
                    select count(*)
                    from deletion_logs
                    where application_key = $1
                        and (delete_time, id) >= ($4, $5)
                        and delete_time < least(date_trunc('second', $4::timestamptz, 'UTC') + interval '1 second', $3)
                )
                + least($6, total.size) as count
            from total
            where $6 > 0
        ),
        -- From the whole range to the second with the page's first entry, each step within what the step before has found.
        found (step, start_time, end_time, above) as (
            select 0, $2, $3, 0::bigint
            from total
            cross join passed
            where passed.count < total.size
            union all
            select u.step, bucket.start_time, bucket.start_time + u.width, found.above + bucket.through - bucket.count
            from found
            join unit u on u.step = found.step + 1
            cross join passed
            cross join lateral (
                select start_time, count, through
                from (
                    select start_time, sum(count)::bigint as count, sum(sum(count)) over (order by start_time desc)::bigint as through
                    from (
                        select c.start_time, c.count
                        from deletion_log_counts c
                        where c.application_key = $1
                            and c.unit = u.name
                            and c.start_time >= found.start_time
                            and c.start_time < found.end_time
                        union all
                        select date_trunc(u.name, w.delete_time, 'UTC'), 1
                        from waiting w
                        where w.delete_time >= found.start_time and w.delete_time < found.end_time
                    ) counted
                    group by start_time
                ) summed
                where found.above + through > passed.count
                order by start_time desc
                limit 1
            ) bucket
        )
        select total.size as "total_size!", found.end_time as "end_time?", passed.count - found.above as skip
        from total
        left join passed on true
        left join found on found.step = 4
        "#,
        application.0,
        range.from(),
        range.until(),
        after.delete_time,
        after.id.0,
        skip,
    )
    .fetch_one(connection)
    .instrument(named("deletion_log.place.find"))
    .await
    .map_err(from_sqlx)?;
    let Row { total_size, end_time, skip: rest } = row;
    let (after, skip) = match (skip, end_time.zip(rest)) {
        (0, _) => (after, skip),
        (_, Some((end_time, skip))) => (Position { delete_time: end_time, id: DeletionLogId(0) }, skip),
        (_, None) => (end_of(range), 0),
    };
    Ok(Place { total_size, stretch: Stretch { after, skip, ..stretch } })
}

/// Where all entries are passed over: none is older than the range.
fn end_of(range: DayRange) -> Position {
    Position { delete_time: range.from(), id: DeletionLogId(0) }
}

/// Finds the place of a stretch of one reason's entries: none is left to be passed over.
///
/// # Errors
/// When the database is away.
pub async fn find_of_reason(
    connection: &mut PgConnection,
    application: ApplicationKey,
    reason: DeletionReason,
    stretch: Stretch,
) -> Result<Place, Error> {
    let Stretch { range, after, skip, .. } = stretch;
    let row = sqlx::query!(
        r#"
        select (
                select count(*)
                from deletion_logs
                where application_key = $1 and reason = $2 and delete_time >= $3 and delete_time < $4
            ) as "total_size!",
            passed.delete_time as "delete_time?",
            passed.id as "id?"
        from (select) as one
        left join lateral (
            select delete_time, id
            from deletion_logs
            where application_key = $1 and reason = $2 and delete_time >= $3 and (delete_time, id) < ($5, $6) and $7::bigint > 0
            order by delete_time desc, id desc
            offset (select greatest($7 - 1, 0))
            limit 1
        ) passed on true
        "#,
        application.0,
        reason.as_str(),
        range.from(),
        range.until(),
        after.delete_time,
        after.id.0,
        skip,
    )
    .fetch_one(connection)
    .instrument(named("deletion_log.place.find_of_reason"))
    .await
    .map_err(from_sqlx)?;
    let passed = row.delete_time.zip(row.id).map(|(delete_time, id)| Position { delete_time, id: DeletionLogId(id) });
    let after = if skip == 0 { after } else { passed.unwrap_or_else(|| end_of(range)) };
    Ok(Place { total_size: row.total_size, stretch: Stretch { after, skip: 0, ..stretch } })
}

struct Row {
    total_size: i64,
    end_time: Option<DateTime<Utc>>,
    skip: Option<i64>,
}
