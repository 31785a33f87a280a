//! The log of deletions.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use crate::domain::caller::Scope;
use crate::domain::deletion_log::{DeletionLog, DeletionLogFilter, MAX_PAGE_SIZE};
use crate::domain::text;
use crate::domain::violation::Violations;
use crate::error::Error;
use crate::rest::call::Call;
use crate::rest::chat_message::deletion_reason;
use crate::rest::ticket::{AgentBody, time};
use crate::rest::{Door, envelope};

/// `GET /chat_messages/deletion_logs`: the parameters are read from the query, or from a JSON body when the query lacks them.
pub(super) async fn list(State(door): State<Door>, mut call: Call) -> Result<Response, Error> {
    call.authorize(Scope::LogsRead)?;
    call.query.complete_from(&call.object()?, &["limit", "offset", "start_date", "end_date", "reason"]);
    let caller = call.authorize(Scope::LogsRead)?;
    let mut violations = Violations::default();
    let page = envelope::page(&call, MAX_PAGE_SIZE, &mut violations);
    let start_date = violations.check(text::date("start_date", call.query.get("start_date").unwrap_or_default()));
    let end_date = violations.check(text::date("end_date", call.query.get("end_date").unwrap_or_default()));
    let reason = violations.check(deletion_reason(call.query.get("reason")));
    let (page, ((start_date, end_date), reason)) = violations.finish(page.zip(start_date.zip(end_date).zip(reason)))?;
    let filter = DeletionLogFilter { start_date, end_date, reason, ..DeletionLogFilter::default() };
    let listed = door.app.list_deletion_logs(caller, &filter, &page).await?;
    let results: Vec<Body> = listed.items.iter().map(Body::from).collect();
    Ok(envelope::render(&door, &call, &page, listed.total_size, results))
}

/// An entry on this wire: the deleted message's keys, with the entry's own id.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    log_id: i64,
    id: i64,
    message_id: i64,
    ticket: i64,
    user_sendbird_id: &'a str,
    user_type: &'static str,
    created_at: String,
    deleted_at: String,
    requested_from: &'static str,
    requested_by: Option<AgentBody<'a>>,
    message: &'static str,
    data: &'static str,
}

impl<'a> From<&'a DeletionLog> for Body<'a> {
    fn from(log: &'a DeletionLog) -> Self {
        Self {
            log_id: log.id.0,
            id: log.chat_message_id.0,
            message_id: log.message_id.0,
            ticket: log.ticket_id.0,
            user_sendbird_id: &log.user_sendbird_id,
            user_type: log.user_type.as_str(),
            created_at: time(log.create_time),
            deleted_at: time(log.delete_time),
            requested_from: log.requested_from.as_str(),
            requested_by: log.requested_by.as_ref().map(AgentBody::with_email),
            message: "",
            data: "",
        }
    }
}
