//! ChatMessageService.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::try_unfold;
use prost::Message;
use tonic::{Request, Response, Status};

use crate::app::{Deleted, Listed, MAX_RECEIPT_WAIT_SECONDS};
use crate::audit;
use crate::domain::caller::Scope;
use crate::domain::chat_message::{
    ChatMessage, ChatMessageDraft, File, MAX_BATCH_CREATE, MAX_PAGE_SIZE, NewChatMessage, Stored, UserType,
};
use crate::domain::deletion::{Grounds, parse_batch};
use crate::domain::ids::{ChatMessageId, TicketId};
use crate::domain::violation::{Rule, Violations};
use crate::error::Error;
use crate::grpc::deletion_log::render as render_log;
use crate::grpc::encoded::{Encoded, LISTED, SINGLE};
use crate::grpc::enums::{Enumeration, enumeration};
use crate::grpc::proto::batch_delete_chat_messages_result::Outcome;
use crate::grpc::servers::chat_message_service_server::ChatMessageService;
use crate::grpc::{Door, authorize, parse, proto};

#[tonic::async_trait]
impl ChatMessageService for Door {
    async fn list_chat_messages(&self, request: Request<proto::ListChatMessagesRequest>) -> Result<Response<Encoded>, Status> {
        let (caller, request) = authorize(request, Scope::MessagesRead)?;
        let mut violations = Violations::default();
        let ticket_id = violations.check(parse::ticket_id("ticket_id", request.ticket_id));
        let page = parse::page(request.page_size, request.skip, request.page_token, MAX_PAGE_SIZE, &mut violations);
        let (ticket_id, page) = violations.finish(ticket_id.zip(page))?;
        match self.app.list_chat_messages(&caller, ticket_id, &page, &LISTED, None).await? {
            Listed::Page(page) => {
                let rest = proto::ListChatMessagesResponse {
                    chat_messages: Vec::new(),
                    next_page_token: page.next_page_token.unwrap_or_default(),
                    total_size: page.total_size,
                };
                Ok(Response::new(Encoded { head: page.messages, tail: rest.encode_to_vec().into() }))
            }
            Listed::Unchanged { .. } => Err(Error::internal("a caller who knows no version has no page").into()),
        }
    }

    async fn get_chat_message(&self, request: Request<proto::GetChatMessageRequest>) -> Result<Response<Encoded>, Status> {
        let (caller, request) = authorize(request, Scope::MessagesRead)?;
        let mut violations = Violations::default();
        let (ticket_id, id) = violations_of_ids(request.ticket_id, request.id, &mut violations);
        let (ticket_id, id) = violations.finish(ticket_id.zip(id))?;
        let message = self.app.get_chat_message(&caller, ticket_id, id, &SINGLE).await?;
        Ok(Response::new(Encoded { head: message.into(), tail: Bytes::new() }))
    }

    async fn create_chat_message(
        &self,
        request: Request<proto::CreateChatMessageRequest>,
    ) -> Result<Response<proto::CreateChatMessageResponse>, Status> {
        let (caller, request) = authorize(request, Scope::MessagesWrite)?;
        let mut violations = Violations::default();
        let ticket_id = violations.check(parse::ticket_id("ticket_id", request.ticket_id));
        if request.chat_message.is_none() {
            violations.add("chat_message", Rule::Required);
        }
        let message = request.chat_message.and_then(|message| new_message("chat_message", message, &mut violations));
        let request_id = parse::request_id(&request.request_id, &mut violations);
        let ((ticket_id, message), request_id) = violations.finish(ticket_id.zip(message).zip(request_id))?;
        let stored = self.app.create_chat_message(&caller, ticket_id, message, request_id).await?;
        Ok(Response::new(render_stored(stored)))
    }

    async fn batch_create_chat_messages(
        &self,
        request: Request<proto::BatchCreateChatMessagesRequest>,
    ) -> Result<Response<proto::BatchCreateChatMessagesResponse>, Status> {
        let (caller, request) = authorize(request, Scope::MessagesWrite)?;
        let count = request.chat_messages.len();
        if count > MAX_BATCH_CREATE {
            return Err(Error::BatchTooLarge { field: "chat_messages", count, max: MAX_BATCH_CREATE }.into());
        }
        let mut violations = Violations::default();
        let ticket_id = violations.check(parse::ticket_id("ticket_id", request.ticket_id));
        if count == 0 {
            violations.add("chat_messages", Rule::Required);
        }
        let messages: Vec<_> = request.chat_messages.into_iter().enumerate().collect();
        let messages: Option<Vec<NewChatMessage>> = messages
            .into_iter()
            .map(|(at, message)| new_message(&format!("chat_messages[{at}]"), message, &mut violations))
            // Every message is looked at before the first bad one ends the collection, so that all violations are told.
            .collect::<Vec<_>>()
            .into_iter()
            .collect();
        let request_id = parse::request_id(&request.request_id, &mut violations);
        let ((ticket_id, messages), request_id) = violations.finish(ticket_id.zip(messages).zip(request_id))?;
        let stored = self.app.create_chat_messages(&caller, ticket_id, messages, request_id).await?;
        let results = stored.into_iter().map(render_stored).collect();
        Ok(Response::new(proto::BatchCreateChatMessagesResponse { results }))
    }

    async fn delete_chat_message(
        &self,
        request: Request<proto::DeleteChatMessageRequest>,
    ) -> Result<Response<proto::DeleteChatMessageResponse>, Status> {
        let (caller, request) = authorize(request, Scope::MessagesDelete)?;
        let mut violations = Violations::default();
        let (ticket_id, id) = violations_of_ids(request.ticket_id, request.id, &mut violations);
        let draft = grounds(request.requested_from, request.requested_by, request.reason, request.reason_detail, &mut violations);
        let grounds = Grounds::parse(draft, self.app.reason_rule(), &mut violations);
        let request_id = parse::request_id(&request.request_id, &mut violations);
        let wait = violations.check(parse::seconds_up_to("wait_for_receipt", request.wait_for_receipt, MAX_RECEIPT_WAIT_SECONDS));
        let ids = ticket_id.zip(id).zip(wait);
        let ((((ticket_id, id), wait), grounds), request_id) = violations.finish(ids.zip(grounds).zip(request_id))?;
        audit::deletes(ticket_id, &[id]);
        let deleted = self.app.delete_chat_message(&caller, ticket_id, id, grounds, request_id).await?;
        let receipt = self.app.wait_for_receipt(&caller, ticket_id, deleted.log.id, wait).await;
        Ok(Response::new(proto::DeleteChatMessageResponse { receipt: receipt.unwrap_or_default(), ..render_deleted(deleted) }))
    }

    async fn batch_delete_chat_messages(
        &self,
        request: Request<proto::BatchDeleteChatMessagesRequest>,
    ) -> Result<Response<proto::BatchDeleteChatMessagesResponse>, Status> {
        let (caller, request) = authorize(request, Scope::MessagesDelete)?;
        let mut violations = Violations::default();
        let ticket_id = violations.check(parse::ticket_id("ticket_id", request.ticket_id));
        let ids = parse_batch("ids", &request.ids, &mut violations)?;
        let draft = grounds(request.requested_from, request.requested_by, request.reason, request.reason_detail, &mut violations);
        let grounds = Grounds::parse(draft, self.app.reason_rule(), &mut violations);
        let request_id = parse::request_id(&request.request_id, &mut violations);
        if request.validate_only && !request.request_id.is_empty() {
            violations.add("request_id", Rule::Excludes { other: "validate_only" });
        }
        let ((ticket_id, grounds), request_id) = violations.finish(ticket_id.zip(grounds).zip(request_id))?;
        let outcomes: Vec<Outcome> = if request.validate_only {
            let verdicts = self.app.preview_deletion(&caller, ticket_id, &ids).await?;
            verdicts.iter().map(render_verdict).collect()
        } else {
            audit::deletes(ticket_id, &ids);
            let deleted = self.app.delete_chat_messages(&caller, ticket_id, &ids, grounds, request_id).await?;
            deleted.into_iter().map(|deleted| Outcome::Deleted(render_deleted(deleted))).collect()
        };
        let result =
            |(id, outcome): (ChatMessageId, Outcome)| proto::BatchDeleteChatMessagesResult { id: id.0, outcome: Some(outcome) };
        let results = ids.into_iter().zip(outcomes).map(result).collect();
        Ok(Response::new(proto::BatchDeleteChatMessagesResponse { results }))
    }

    type ExportChatMessagesStream = Pin<Box<dyn Stream<Item = Result<proto::ExportChatMessagesResponse, Status>> + Send>>;

    async fn export_chat_messages(
        &self,
        request: Request<proto::ExportChatMessagesRequest>,
    ) -> Result<Response<Self::ExportChatMessagesStream>, Status> {
        let (caller, request) = authorize(request, Scope::MessagesRead)?;
        let ticket_id = parse::filter_id(request.ticket_id).map(TicketId);
        let app = self.app.clone();
        // The first part is read before the answer begins, so that a bad request is refused as a whole.
        let token = (!request.resume_token.is_empty()).then_some(request.resume_token);
        let first = app.export_chat_messages(&caller, ticket_id, token.as_deref()).await?;
        let parts = try_unfold(first, move |part| {
            let (app, caller) = (app.clone(), caller.clone());
            async move {
                let Some(part) = part else { return Ok(None) };
                app.check_again(&caller).await?;
                let next = app.export_chat_messages(&caller, ticket_id, Some(&part.resume_token)).await?;
                let chat_messages = part.messages.into_iter().map(render).collect();
                Ok(Some((proto::ExportChatMessagesResponse { chat_messages, resume_token: part.resume_token }, next)))
            }
        });
        Ok(Response::new(Box::pin(parts)))
    }
}

fn violations_of_ids(ticket_id: i64, id: i64, violations: &mut Violations) -> (Option<TicketId>, Option<ChatMessageId>) {
    let ticket_id = violations.check(parse::ticket_id("ticket_id", ticket_id));
    let id = violations.check(parse::id("id", id)).map(ChatMessageId);
    (ticket_id, id)
}

fn new_message(path: &str, message: proto::ChatMessage, violations: &mut Violations) -> Option<NewChatMessage> {
    // What cannot be read is told and left out, so that the other fields are looked at too.
    let user_type = violations.check(enumeration::<UserType>(&format!("{path}.user_type"), message.user_type));
    let create_time = match message.create_time {
        None => Some(None),
        Some(time) => violations.check(parse::time(&format!("{path}.create_time"), time)).map(Some),
    };
    let file =
        |file: proto::File| File { url: file.url, name: file.name, content_type: file.content_type, size_bytes: file.size_bytes };
    let draft = ChatMessageDraft {
        user_sendbird_id: message.user_sendbird_id,
        user_type: user_type.flatten(),
        create_time: create_time.flatten(),
        message: message.message,
        data: message.data,
        files: message.files.into_iter().map(file).collect(),
        external_id: message.external_id,
    };
    NewChatMessage::parse(path, draft, violations)
}

fn grounds(
    requested_from: i32,
    requested_by: Option<proto::Agent>,
    reason: i32,
    reason_detail: String,
    violations: &mut Violations,
) -> Grounds {
    let requested_from = violations.check(enumeration("requested_from", requested_from));
    let reason = violations.check(enumeration("reason", reason));
    // What cannot be read is told and left out, so that the other fields are looked at too.
    let (requested_from, reason) = (requested_from.flatten(), reason.flatten());
    Grounds { requested_from, requested_by: requested_by.map(Into::into), reason, reason_detail }
}

pub(super) fn render(message: ChatMessage) -> proto::ChatMessage {
    let deletion = message.deletion;
    proto::ChatMessage {
        id: message.id.0,
        message_id: message.message_id.0,
        ticket_id: message.ticket_id.0,
        user_sendbird_id: message.user_sendbird_id,
        user_type: message.user_type.number(),
        create_time: Some(parse::timestamp(message.create_time)),
        delete_time: deletion.as_ref().map(|deletion| parse::timestamp(deletion.time)),
        requested_from: deletion.as_ref().map(|deletion| deletion.requested_from.number()).unwrap_or_default(),
        requested_by: deletion.and_then(|deletion| deletion.requested_by).map(Into::into),
        message: message.message,
        data: message.data,
        files: message.files.into_iter().map(render_file).collect(),
        external_id: message.external_id.unwrap_or_default(),
    }
}

pub(super) fn render_file(file: File) -> proto::File {
    proto::File { url: file.url, name: file.name, content_type: file.content_type, size_bytes: file.size_bytes }
}

fn render_stored(stored: Stored) -> proto::CreateChatMessageResponse {
    proto::CreateChatMessageResponse { chat_message: Some(render(stored.message)), duplicate: stored.duplicate }
}

fn render_deleted(deleted: Deleted) -> proto::DeleteChatMessageResponse {
    proto::DeleteChatMessageResponse {
        chat_message: Some(render(deleted.message)),
        deletion_log: Some(render_log(deleted.log)),
        receipt: String::new(),
    }
}

fn render_verdict(verdict: &Result<(), Error>) -> Outcome {
    match verdict {
        Ok(()) => Outcome::Deletable(proto::Deletable {}),
        Err(error) => {
            let described = error.describe();
            let reason = proto::ErrorReason::from_str_name(&format!("ERROR_REASON_{}", described.reason));
            let reason = reason.unwrap_or(proto::ErrorReason::Unspecified) as i32;
            Outcome::Refused(proto::Refusal { reason, message: described.message })
        }
    }
}
