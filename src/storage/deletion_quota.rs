//! The quota of deletions: what the processes have reserved of it.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::domain::ids::ApplicationKey;
use crate::error::Error;
use crate::storage::{Instrument, from_sqlx, named};

/// Reserves deletions for a token in an hour; false, and nothing is reserved, when more than `per_hour` would be. A process whose clock is
/// behind reserves in the hour that others have begun.
///
/// # Errors
/// When the database is away.
pub async fn reserve(
    connection: &mut PgConnection,
    application: ApplicationKey,
    token_id: &str,
    hour: DateTime<Utc>,
    count: u32,
    per_hour: u32,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        r#"
        insert into deletion_quotas as q (application_key, token_id, hour, reserved)
        values ($1, $2, $3, $4)
        on conflict (application_key, token_id) do update
        set hour = greatest(q.hour, excluded.hour),
            reserved = case when excluded.hour > q.hour then excluded.reserved else q.reserved + excluded.reserved end
        where excluded.hour > q.hour or q.reserved + excluded.reserved <= $5
        "#,
        application.0,
        token_id,
        hour,
        i64::from(count),
        i64::from(per_hour),
    )
    .execute(connection)
    .instrument(named("deletion_quota.reserve"))
    .await
    .map_err(from_sqlx)?;
    Ok(done.rows_affected() == 1)
}
