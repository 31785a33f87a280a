//! Storing chat messages at the end of their tickets.

use std::collections::{HashMap, VecDeque};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::domain::chat_message::{ChatMessage, File, NewChatMessage, Stored};
use crate::domain::ids::{ApplicationKey, ChatMessageId, MessageId, TicketId};
use crate::domain::request::RequestKey;
use crate::error::Error;
use crate::storage::message_row::MessageRow;
use crate::storage::named;

/// One message to store.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Its ticket.
    pub ticket_id: TicketId,
    /// The message.
    pub message: &'a NewChatMessage,
    /// Claims this request id for it, whether it is stored or known already. Without its ticket nothing is claimed.
    pub key: Option<&'a RequestKey>,
}

impl<'a> Asked<'a> {
    /// A message for which no request id is claimed.
    #[must_use]
    pub fn unclaimed(ticket_id: TicketId, message: &'a NewChatMessage) -> Self {
        Self { ticket_id, message, key: None }
    }
}

/// Stores messages at the end of their tickets, in their order, and claims request ids for them. Each is answered, in the same order: stored,
/// or the one that has its external id already; `None` when there is no such ticket. No two messages of a ticket may have the same external
/// id, and no two the same request id.
///
/// Numbers are taken from the tickets' rows under their locks, only for what goes in: so they have no gaps.
///
/// # Errors
/// [`Error::WriteConflict`] when another sender stores one of the external ids at the same time, or a request id was claimed before; when the
/// database is away.
#[expect(clippy::too_many_lines, reason = "the statement is long, and is read best in one piece")]
pub async fn append(
    connection: &mut PgConnection,
    application: ApplicationKey,
    asked: &[Asked<'_>],
    now: DateTime<Utc>,
) -> Result<Vec<Option<Stored>>, Error> {
    let ticket_ids: Vec<i64> = asked.iter().map(|asked| asked.ticket_id.0).collect();
    let user_sendbird_ids: Vec<&str> = asked.iter().map(|asked| asked.message.user_sendbird_id.as_str()).collect();
    let user_types: Vec<&str> = asked.iter().map(|asked| asked.message.user_type.as_str()).collect();
    let create_times: Vec<DateTime<Utc>> = asked.iter().map(|asked| asked.message.create_time.unwrap_or(now)).collect();
    let contents: Vec<&str> = asked.iter().map(|asked| asked.message.message.as_str()).collect();
    let data: Vec<&str> = asked.iter().map(|asked| asked.message.data.as_str()).collect();
    let files: Vec<Json<&[File]>> = asked.iter().map(|asked| Json(asked.message.files.as_slice())).collect();
    let external_ids: Vec<Option<&str>> = asked.iter().map(|asked| asked.message.external_id.as_deref()).collect();
    let keys = || asked.iter().map(|asked| asked.key);
    let request_ids: Vec<Option<Uuid>> = keys().map(|key| key.map(|key| key.id.0)).collect();
    let request_digests: Vec<Option<&[u8]>> = keys().map(|key| key.map(|key| key.digest.as_slice())).collect();
    let statement = sqlx::query!(
        r#"
        with ticket as materialized (
            -- In one order for all, or two batches of the same tickets could lock each other out.
            select id, message_count
            from tickets
            where application_key = $1 and id = any ($2)
            order by id
            for no key update
        ),
        source as (
            select s.*, ticket.message_count + row_number() over (partition by s.ticket_id order by s.ordinal) as message_id
            from unnest($2, $3::text[], $4::text[], $5::timestamptz[], $6::text[], $7::text[], $8::jsonb[], $9::text[])
                with ordinality as s (ticket_id, user_sendbird_id, user_type, create_time, message, data, files, external_id, ordinal)
            join ticket on ticket.id = s.ticket_id
            where not exists (
                select
                from chat_messages m
                where m.application_key = $1 and m.ticket_id = s.ticket_id and m.external_id = s.external_id
            )
        ),
        inserted as (
            insert into chat_messages (
                application_key, ticket_id, message_id, user_sendbird_id, user_type, create_time, message, data, files, external_id
            )
            select $1, s.ticket_id, s.message_id, s.user_sendbird_id, s.user_type, s.create_time, s.message, s.data, s.files,
                s.external_id
            from source s
            order by s.ticket_id, s.ordinal
            returning id, ticket_id, message_id, user_type, create_time
        ),
        counted as (
            update tickets t
            set version = t.version + 1,
                message_count = t.message_count + stored.count,
                issue_time = coalesce(t.issue_time, stored.first_of_customer)
            from (
                select ticket_id, count(*) as count, min(create_time) filter (where user_type = 'CUSTOMER') as first_of_customer
                from inserted
                group by ticket_id
            ) stored
            where t.application_key = $1 and t.id = stored.ticket_id
        ),
        known as materialized (
            -- Message by message, once: joined freely, a planner that knows little reads the whole application for each ticket.
            select found.*
            from unnest($2, $9) as asked (ticket_id, external_id)
            cross join lateral (
                select *
                from chat_messages m
                where m.application_key = $1 and m.ticket_id = asked.ticket_id and m.external_id = asked.external_id
                limit 1
            ) found
            -- Looked for only when something was left out.
            where (select count(*) from inserted) < cardinality($2)
        ),
        claimed as (
            insert into requests (application_key, request_id, digest, create_time, ticket_id, chat_message_ids, duplicates)
            select $1, asked.request_id, asked.request_digest, $13, asked.ticket_id, array[coalesce(asked.known_id, inserted.id)],
                array[asked.known_id is not null]
            from (
                -- What is not known is numbered as above.
                select asked.*, known.id as known_id,
                    row_number() over (partition by asked.ticket_id, known.id is null order by asked.ordinal) as number
                from unnest($2, $9, $10::uuid[], $11::bytea[])
                    with ordinality as asked (ticket_id, external_id, request_id, request_digest, ordinal)
                left join known on known.ticket_id = asked.ticket_id and known.external_id = asked.external_id
            ) asked
            join ticket on ticket.id = asked.ticket_id
            left join inserted on inserted.ticket_id = asked.ticket_id and inserted.message_id = ticket.message_count + asked.number
            where asked.request_id is not null and $12
        )
        -- Of what goes in the sender has the rest.
        select m.id, m.message_id, m.ticket_id, m.user_sendbird_id, m.user_type, m.create_time, m.delete_time, m.requested_from,
            m.requested_by, m.message, m.data, m.files, m.external_id, ticket.message_count
        from ticket
        join (
            select id, message_id, ticket_id, null as user_sendbird_id, null as user_type, null::timestamptz as create_time,
                null::timestamptz as delete_time, null as requested_from, null::jsonb as requested_by, null as message, null as data,
                null::jsonb as files, null as external_id
            from inserted
            union all
            select id, message_id, ticket_id, user_sendbird_id, user_type, create_time, delete_time, requested_from, requested_by,
                message, data, case when jsonb_array_length(files) > 0 then files end, external_id
            from known
        ) m on m.ticket_id = ticket.id
        order by m.ticket_id, m.message_id
        "#,
        application.0,
        &ticket_ids,
        &user_sendbird_ids as _,
        &user_types as _,
        &create_times,
        &contents as _,
        &data as _,
        &files as _,
        &external_ids as _,
        &request_ids as _,
        &request_digests as _,
        keys().any(|key| key.is_some()),
        now,
    );
    // Not entered, which the driver would do twice for each row.
    let _span = named("append.append");
    let rows = MessageRow::fetch_all(connection, statement).await?;
    in_order_of(asked, &rows, now)
}

/// Brings the answer of [`append`] into the order of what was asked. What has a number above its ticket's count before was stored, in the
/// order asked; the rest was there.
fn in_order_of(asked: &[Asked<'_>], rows: &[MessageRow], now: DateTime<Utc>) -> Result<Vec<Option<Stored>>, Error> {
    let mut stored: HashMap<TicketId, VecDeque<(ChatMessageId, MessageId)>> = HashMap::new();
    let mut known: HashMap<(TicketId, String), ChatMessage> = HashMap::new();
    for row in rows {
        let (id, message_id, ticket_id) = row.ids()?;
        if message_id.0 > row.message_count()? {
            stored.entry(ticket_id).or_default().push_back((id, message_id));
        } else if let ChatMessage { external_id: Some(external_id), .. } = row.message()? {
            known.insert((ticket_id, external_id.to_owned()), row.owned_message()?);
        }
    }
    let answer_to = |Asked { ticket_id, message, .. }: &Asked<'_>| {
        let duplicate = message.external_id.as_ref().and_then(|external_id| known.remove(&(*ticket_id, external_id.clone())));
        if let Some(message) = duplicate {
            return Some(Stored { message, duplicate: true });
        }
        let (id, message_id) = stored.get_mut(ticket_id)?.pop_front()?;
        Some(Stored { message: message.stored_as(id, message_id, *ticket_id, now), duplicate: false })
    };
    Ok(asked.iter().map(answer_to).collect())
}
