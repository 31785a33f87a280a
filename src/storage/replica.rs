//! Where the journals of the primary and of its replicas stand.

use sqlx::PgConnection;

use crate::domain::freshness::{Position, Replayed};
use crate::error::Error;
use crate::storage::{Instrument, from_sqlx, named};

/// Up to where the primary has written its journal: every transaction that anybody has seen committed is before it.
///
/// # Errors
/// When the server is a replica or away.
pub async fn primary_position(connection: &mut PgConnection) -> Result<Position, Error> {
    // The place of insertion and not of writing: with synchronous_commit off, a commit is seen before it is written. The first eight
    // digits of a journal file's name are the timeline.
    let row = sqlx::query!(
        r#"
        select system_identifier as "system!",
            ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::integer as "timeline!",
            (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint as "byte!"
        from pg_control_system()
        "#,
    )
    .fetch_one(connection)
    .instrument(named("replica.primary_position"))
    .await
    .map_err(from_sqlx)?;
    Ok(Position { system: row.system, timeline: row.timeline, byte: row.byte })
}

/// Up to where a replica has replayed: what was committed before is seen by every statement that begins after this one.
///
/// # Errors
/// When the server is away.
pub async fn replayed(connection: &mut PgConnection) -> Result<Replayed, Error> {
    // The timeline of what is on its disk. After a promotion elsewhere that lags until its next checkpoint, never the other way about.
    let row = sqlx::query!(
        r#"
        select pg_is_in_recovery() as "is_replica!",
            system_identifier as "system!",
            min_recovery_end_timeline as "timeline!",
            coalesce((pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint, 0) as "byte!"
        from pg_control_system(), pg_control_recovery()
        "#,
    )
    .fetch_one(connection)
    .instrument(named("replica.replayed"))
    .await
    .map_err(from_sqlx)?;
    let position = Position { system: row.system, timeline: row.timeline, byte: row.byte };
    Ok(Replayed { is_replica: row.is_replica, position })
}
