//! Legal holds that the log does not know of: placed or released by a program from before the log had holds, beside this one.

use sqlx::PgConnection;

use crate::domain::ids::ApplicationKey;
use crate::error::Error;
use crate::storage::{Instrument, from_sqlx, named};

/// Finds the applications that have such holds.
///
/// # Errors
/// When the database is away.
pub async fn applications(connection: &mut PgConnection) -> Result<Vec<ApplicationKey>, Error> {
    let keys = sqlx::query_scalar!(
        r#"
        select a.key
        from applications a
        where exists (
            select
            from holds h
            where h.application_key = a.key
                and not exists (select from log_leaves l where l.application_key = h.application_key and l.hold_id = h.id)
                and not exists (select from pending_acts p where p.application_key = h.application_key and p.hold_id = h.id)
        )
        "#,
    )
    .fetch_all(connection)
    .instrument(named("log_adoption.applications"))
    .await
    .map_err(from_sqlx)?;
    Ok(keys.into_iter().map(ApplicationKey).collect())
}

/// Has an application's such holds wait for their entries, in the order of their ids, and says how many. Two at once would log them twice:
/// only the one that grows the trees calls it.
///
/// # Errors
/// When the database is away.
pub async fn adopt(connection: &mut PgConnection, application: ApplicationKey) -> Result<u64, Error> {
    let done = sqlx::query!(
        r#"
        insert into pending_acts (application_key, hold_id)
        select $1, h.id
        from holds h
        where h.application_key = $1
            and not exists (select from log_leaves l where l.application_key = $1 and l.hold_id = h.id)
            and not exists (select from pending_acts p where p.application_key = $1 and p.hold_id = h.id)
        order by h.id
        "#,
        application.0,
    )
    .execute(connection)
    .instrument(named("log_adoption.adopt"))
    .await
    .map_err(from_sqlx)?;
    Ok(done.rows_affected())
}
