//! The one call that is compared.

use chrono::{DateTime, Utc};
use prost_types::Timestamp;
use serde::Deserialize;
use sqlx::types::Json;
use sqlx::{FromRow, PgPool};
use tonic::{Request, Response, Status};

use crate::proto;
use crate::proto::chat_message_service_server::ChatMessageService;

const LIST: &str = "
    select t.message_count, m.id, m.message_id, m.ticket_id, m.user_sendbird_id, m.user_type, m.create_time, m.delete_time,
        m.requested_from, m.requested_by, m.message, m.data, m.files, m.external_id
    from tickets t
    left join lateral (
        select *
        from chat_messages
        where application_key = t.application_key and ticket_id = t.id and message_id > $3
        order by message_id
        limit $4
    ) m on true
    where t.application_key = $1 and t.id = $2
    order by m.message_id";

pub struct ChatMessages {
    pub pool: PgPool,
    pub application_key: i32,
}

/// All but the count are null where the ticket has no messages on the page.
#[derive(FromRow)]
struct Row {
    message_count: i64,
    id: Option<i64>,
    message_id: Option<i64>,
    ticket_id: Option<i64>,
    user_sendbird_id: Option<String>,
    user_type: Option<String>,
    create_time: Option<DateTime<Utc>>,
    delete_time: Option<DateTime<Utc>>,
    requested_from: Option<String>,
    requested_by: Option<Json<Agent>>,
    message: Option<String>,
    data: Option<String>,
    files: Option<Json<Vec<File>>>,
    external_id: Option<String>,
}

#[derive(Deserialize)]
struct Agent {
    id: i64,
    display_name: String,
    sendbird_id: String,
    email: String,
}

#[derive(Deserialize)]
struct File {
    url: String,
    name: String,
    content_type: String,
    size_bytes: i64,
}

impl ChatMessages {
    async fn list(&self, request: proto::ListChatMessagesRequest) -> Result<proto::ListChatMessagesResponse, Status> {
        let limit = match request.page_size {
            0 => 50,
            size @ 1..=500 => i64::from(size),
            _ => return Err(Status::invalid_argument("page_size must be from 1 to 500")),
        };
        if request.skip < 0 {
            return Err(Status::invalid_argument("skip must be 0 or greater"));
        }
        let mut after = request.skip;
        if !request.page_token.is_empty() {
            let last: i64 = request.page_token.parse().map_err(|_| Status::invalid_argument("page_token is not one of ours"))?;
            after = after.saturating_add(last);
        }
        let rows: Vec<Row> = sqlx::query_as(LIST)
            .bind(self.application_key)
            .bind(request.ticket_id)
            .bind(after)
            .bind(limit)
            .fetch_all(&self.pool)
            .await
            .map_err(|error| Status::internal(error.to_string()))?;
        let Some(total_size) = rows.first().map(|row| row.message_count) else {
            return Err(Status::not_found(format!("there is no ticket {}", request.ticket_id)));
        };
        let chat_messages: Vec<proto::ChatMessage> = rows.into_iter().filter_map(render).collect();
        let next_page_token = match chat_messages.last() {
            Some(last) if last.message_id < total_size => last.message_id.to_string(),
            _ => String::new(),
        };
        Ok(proto::ListChatMessagesResponse { chat_messages, next_page_token, total_size })
    }
}

fn render(row: Row) -> Option<proto::ChatMessage> {
    let user_type = match row.user_type?.as_str() {
        "AGENT" => proto::UserType::Agent,
        "CUSTOMER" => proto::UserType::Customer,
        "EVENT" => proto::UserType::Event,
        _ => proto::UserType::Unspecified,
    };
    let requested_from = match row.requested_from.as_deref() {
        Some("DASHBOARD") => proto::RequestedFrom::Dashboard,
        Some("PLATFORM_API") => proto::RequestedFrom::PlatformApi,
        _ => proto::RequestedFrom::Unspecified,
    };
    Some(proto::ChatMessage {
        id: row.id?,
        message_id: row.message_id?,
        ticket_id: row.ticket_id?,
        user_sendbird_id: row.user_sendbird_id?,
        user_type: user_type.into(),
        create_time: row.create_time.map(timestamp),
        delete_time: row.delete_time.map(timestamp),
        requested_from: requested_from.into(),
        requested_by: row.requested_by.map(|Json(agent)| proto::Agent {
            id: agent.id,
            display_name: agent.display_name,
            sendbird_id: agent.sendbird_id,
            email: agent.email,
        }),
        message: row.message?,
        data: row.data?,
        files: row.files?.0.into_iter().map(file).collect(),
        external_id: row.external_id.unwrap_or_default(),
    })
}

fn file(file: File) -> proto::File {
    proto::File { url: file.url, name: file.name, content_type: file.content_type, size_bytes: file.size_bytes }
}

fn timestamp(time: DateTime<Utc>) -> Timestamp {
    Timestamp { seconds: time.timestamp(), nanos: time.timestamp_subsec_nanos().cast_signed() }
}

#[tonic::async_trait]
impl ChatMessageService for ChatMessages {
    async fn list_chat_messages(
        &self,
        request: Request<proto::ListChatMessagesRequest>,
    ) -> Result<Response<proto::ListChatMessagesResponse>, Status> {
        Ok(Response::new(self.list(request.into_inner()).await?))
    }
}
