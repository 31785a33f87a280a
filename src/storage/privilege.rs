//! What the role that serves may do in the database: it owns nothing, and what it may not do no bug of ours does either.

use sqlx::{AssertSqlSafe, PgConnection};

use crate::error::Error;
use crate::storage::{Instrument, from_sqlx, named};

/// The privileges of the service's role: a row for each table and sequence. It deletes no messages, changes no row of the log or of the
/// holds, and makes neither applications nor credentials. They only grow, as the schema does (docs/decisions/0003): an older build's
/// service lives on beside a newer one's.
pub const GRANTS: [(&str, &str); 27] = [
    ("table _sqlx_migrations", "select"),
    ("table applications", "select"),
    ("table tokens", "select, update (last_use_time)"),
    ("table webhook_keys", "select"),
    (
        "table tickets",
        "select, insert, update (
            version, message_count, status, priority, channel_name, agent, agent_group, info, custom_fields, related_channels, issue_time,
            close_time, close_status, close_comment, hold_id
        )",
    ),
    // What a deletion writes, and the guard of migration 0014 sees to it that only a deletion does.
    ("table chat_messages", "select, insert, update (delete_time, requested_from, requested_by, message, data, files)"),
    ("table deletion_logs", "select, insert"),
    ("table deletion_quotas", "select, insert, update (hour, reserved)"),
    ("table holds", "select, insert"),
    ("table pending_leaves", "select, insert, delete"),
    ("table pending_acts", "select, insert, delete"),
    ("table log_erasures", "select"),
    ("table log_leaves", "select, insert"),
    ("table log_tiles", "select, insert, update (hashes)"),
    ("table log_heads", "select, update (size, root, fence, signed_size, signed_by, checkpoint)"),
    ("table log_sequencer", "select, update (holder, fence, expire_time)"),
    ("table deletion_log_counts", "select, insert, update (count)"),
    ("table list_milestones", "select, insert"),
    ("table requests", "select, insert, update (ticket_id, chat_message_ids, duplicates), delete"),
    ("table rejected_events", "select, insert, update (cause, event, external_id), delete"),
    ("sequence ticket_ids", "usage"),
    ("sequence chat_message_ids", "usage"),
    ("sequence deletion_log_ids", "usage"),
    ("sequence hold_ids", "usage"),
    ("sequence rejected_event_ids", "usage"),
    // Erases what is old enough, as its owner, and nothing else.
    ("function erase_deletion_logs(integer, timestamptz, timestamptz, text, timestamptz, bigint, integer)", "execute"),
    // Where the tables are; the name is filled in.
    ("schema", "usage"),
];

/// What became of the wish for a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It is there, and may serve.
    Ready,
    /// It is not there, and who asks may not make roles.
    Missing,
    /// It is a superuser, or may act as who owns the tables.
    TooPowerful,
}

/// Makes a role that may log in where there is none; it has no password until its operator gives it one.
///
/// # Errors
/// When the database is away.
pub async fn make_role(connection: &mut PgConnection, name: &str) -> Result<Role, Error> {
    let statement = format!("create role {} login", quoted(name));
    match sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *connection).instrument(named("privilege.make_role")).await {
        Ok(_) => return Ok(Role::Ready),
        Err(sqlx::Error::Database(refused)) => match refused.code().as_deref() {
            // duplicate_object; unique_violation: somebody else makes it at this moment. insufficient_privilege: it may be there all the same.
            Some("42710" | "23505" | "42501") => {}
            _ => return Err(from_sqlx(sqlx::Error::Database(refused))),
        },
        Err(error) => return Err(from_sqlx(error)),
    }
    let powerful = sqlx::query_scalar!(
        r#"
        select rolsuper or pg_has_role(oid, current_user, 'member') as "powerful!"
        from pg_roles
        where rolname = $1
        "#,
        name,
    )
    .fetch_optional(connection)
    .instrument(named("privilege.make_role"))
    .await
    .map_err(from_sqlx)?;
    Ok(match powerful {
        None => Role::Missing,
        Some(true) => Role::TooPowerful,
        Some(false) => Role::Ready,
    })
}

/// Gives a role what the service needs, all of it or nothing.
///
/// # Errors
/// When who asks may not, or the database is away.
pub async fn grant(connection: &mut PgConnection, role: &str) -> Result<(), Error> {
    let schema = sqlx::query_scalar!(r#"select current_schema() as "schema!""#)
        .fetch_one(&mut *connection)
        .instrument(named("privilege.grant"))
        .await
        .map_err(from_sqlx)?;
    // Two who grant on the same table at once would fail on its row in the catalog: one after the other.
    let mut statements = vec!["begin; lock table _sqlx_migrations in share row exclusive mode".to_owned()];
    statements.extend(GRANTS.iter().map(|(object, privileges)| {
        let place = if *object == "schema" { quoted(&schema) } else { String::new() };
        format!("grant {privileges} on {object} {place} to {}", quoted(role))
    }));
    statements.push("commit".to_owned());
    sqlx::raw_sql(AssertSqlSafe(statements.join("; ")))
        .execute(connection)
        .instrument(named("privilege.grant"))
        .await
        .map_err(from_sqlx)?;
    Ok(())
}

/// Whether who asks may do to the log what the service's role may not.
///
/// # Errors
/// When the database is away.
pub async fn may_change_log(connection: &mut PgConnection) -> Result<bool, Error> {
    sqlx::query_scalar!(
        r#"
        select has_table_privilege('chat_messages', 'delete, truncate')
            or has_table_privilege('deletion_logs', 'update, delete, truncate')
            or has_table_privilege('log_leaves', 'update, delete, truncate')
            or has_table_privilege('holds', 'update, delete, truncate') as "may!"
        "#
    )
    .fetch_one(connection)
    .instrument(named("privilege.may_change_log"))
    .await
    .map_err(from_sqlx)
}

/// A name cannot be a parameter; quoting makes any name safe.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
