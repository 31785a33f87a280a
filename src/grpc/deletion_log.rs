//! DeletionLogService.

use std::pin::Pin;

use futures_util::Stream;
use futures_util::stream::try_unfold;
use tonic::{Request, Response, Status};

use crate::domain::caller::Scope;
use crate::domain::deletion_log::{DeletionLog, DeletionLogFilter, MAX_PAGE_SIZE};
use crate::domain::erasure::{self, Erasure, ErasureCause};
use crate::domain::hold::{self, HoldAction, HoldEvent};
use crate::domain::ids::{DeletionLogId, ErasureId, HoldEventId, TicketId};
use crate::domain::proof::Hash;
use crate::domain::text;
use crate::domain::violation::{FieldViolation, Rule, Violations};
use crate::grpc::enums::{Enumeration, enumeration};
use crate::grpc::servers::deletion_log_service_server::DeletionLogService;
use crate::grpc::{Door, authorize, parse, proto};

#[tonic::async_trait]
impl DeletionLogService for Door {
    async fn list_deletion_logs(
        &self,
        request: Request<proto::ListDeletionLogsRequest>,
    ) -> Result<Response<proto::ListDeletionLogsResponse>, Status> {
        let (caller, request) = authorize(request, Scope::LogsRead)?;
        let mut violations = Violations::default();
        let filter = filter(request.filter.unwrap_or_default(), &mut violations);
        let page = parse::page(request.page_size, request.skip, request.page_token, MAX_PAGE_SIZE, &mut violations);
        let (filter, page) = violations.finish(filter.zip(page))?;
        let page = self.app.list_deletion_logs(&caller, &filter, &page).await?;
        Ok(Response::new(proto::ListDeletionLogsResponse {
            deletion_logs: page.items.into_iter().map(render).collect(),
            next_page_token: page.next_page_token.unwrap_or_default(),
            total_size: page.total_size,
        }))
    }

    async fn get_deletion_log(
        &self,
        request: Request<proto::GetDeletionLogRequest>,
    ) -> Result<Response<proto::GetDeletionLogResponse>, Status> {
        let (caller, request) = authorize(request, Scope::LogsRead)?;
        let mut violations = Violations::default();
        let entry = entry(request.ticket_id, request.id, &mut violations);
        let (ticket_id, id) = violations.finish(entry)?;
        let log = self.app.get_deletion_log(&caller, ticket_id, id).await?;
        Ok(Response::new(proto::GetDeletionLogResponse { deletion_log: Some(render(log)) }))
    }

    async fn get_checkpoint(
        &self,
        request: Request<proto::GetCheckpointRequest>,
    ) -> Result<Response<proto::GetCheckpointResponse>, Status> {
        let (caller, _) = authorize(request, Scope::LogsRead)?;
        let checkpoint = self.app.get_checkpoint(&caller).await?;
        Ok(Response::new(proto::GetCheckpointResponse {
            checkpoint: checkpoint.text,
            tree_size: number(checkpoint.head.size),
            root_hash: checkpoint.head.root.0.to_vec(),
        }))
    }

    async fn get_inclusion_proof(
        &self,
        request: Request<proto::GetInclusionProofRequest>,
    ) -> Result<Response<proto::GetInclusionProofResponse>, Status> {
        let (caller, request) = authorize(request, Scope::LogsRead)?;
        let mut violations = Violations::default();
        let entry = entry(request.ticket_id, request.id, &mut violations);
        let tree_size = violations.check(size("tree_size", request.tree_size));
        let ((ticket_id, id), tree_size) = violations.finish(entry.zip(tree_size))?;
        let proof = self.app.get_inclusion_proof(&caller, ticket_id, id, (tree_size != 0).then_some(tree_size)).await?;
        Ok(Response::new(proto::GetInclusionProofResponse {
            leaf_index: number(proof.index),
            tree_size: number(proof.tree_size),
            entry: proof.entry.0.to_vec(),
            hashes: bytes(&proof.hashes),
        }))
    }

    async fn get_consistency_proof(
        &self,
        request: Request<proto::GetConsistencyProofRequest>,
    ) -> Result<Response<proto::GetConsistencyProofResponse>, Status> {
        let (caller, request) = authorize(request, Scope::LogsRead)?;
        let mut violations = Violations::default();
        let old = violations.check(size("old_tree_size", request.old_tree_size));
        let new = violations.check(size("new_tree_size", request.new_tree_size));
        let (old, new) = violations.finish(old.zip(new))?;
        let proof = self.app.get_consistency_proof(&caller, old, (new != 0).then_some(new)).await?;
        Ok(Response::new(proto::GetConsistencyProofResponse {
            new_tree_size: number(proof.new_tree_size),
            hashes: bytes(&proof.hashes),
        }))
    }

    async fn get_receipt(&self, request: Request<proto::GetReceiptRequest>) -> Result<Response<proto::GetReceiptResponse>, Status> {
        let (caller, request) = authorize(request, Scope::LogsRead)?;
        let mut violations = Violations::default();
        let entry = entry(request.ticket_id, request.id, &mut violations);
        let (ticket_id, id) = violations.finish(entry)?;
        let receipt = self.app.get_receipt(&caller, ticket_id, id).await?;
        Ok(Response::new(proto::GetReceiptResponse { receipt }))
    }

    async fn list_hold_events(
        &self,
        request: Request<proto::ListHoldEventsRequest>,
    ) -> Result<Response<proto::ListHoldEventsResponse>, Status> {
        let (caller, request) = authorize(request, Scope::LogsRead)?;
        let mut violations = Violations::default();
        let ticket_id = violations.check(parse::ticket_id("ticket_id", request.ticket_id));
        let page = parse::page(request.page_size, 0, request.page_token, hold::MAX_PAGE_SIZE, &mut violations);
        let (ticket_id, page) = violations.finish(ticket_id.zip(page))?;
        let page = self.app.list_hold_events(&caller, ticket_id, &page).await?;
        Ok(Response::new(proto::ListHoldEventsResponse {
            hold_events: page.items.into_iter().map(render_hold_event).collect(),
            next_page_token: page.next_page_token.unwrap_or_default(),
        }))
    }

    async fn get_hold_receipt(
        &self,
        request: Request<proto::GetHoldReceiptRequest>,
    ) -> Result<Response<proto::GetHoldReceiptResponse>, Status> {
        let (caller, request) = authorize(request, Scope::LogsRead)?;
        let mut violations = Violations::default();
        let ticket_id = violations.check(parse::ticket_id("ticket_id", request.ticket_id));
        let id = violations.check(parse::id("id", request.id)).map(HoldEventId);
        let (ticket_id, id) = violations.finish(ticket_id.zip(id))?;
        let receipt = self.app.get_hold_receipt(&caller, ticket_id, id).await?;
        Ok(Response::new(proto::GetHoldReceiptResponse { receipt }))
    }

    async fn list_erasures(
        &self,
        request: Request<proto::ListErasuresRequest>,
    ) -> Result<Response<proto::ListErasuresResponse>, Status> {
        let (caller, request) = authorize(request, Scope::LogsRead)?;
        let mut violations = Violations::default();
        let page = parse::page(request.page_size, 0, request.page_token, erasure::MAX_PAGE_SIZE, &mut violations);
        let page = violations.finish(page)?;
        let page = self.app.list_erasures(&caller, &page).await?;
        Ok(Response::new(proto::ListErasuresResponse {
            erasures: page.items.iter().map(render_erasure).collect(),
            next_page_token: page.next_page_token.unwrap_or_default(),
        }))
    }

    async fn get_erasure_receipt(
        &self,
        request: Request<proto::GetErasureReceiptRequest>,
    ) -> Result<Response<proto::GetErasureReceiptResponse>, Status> {
        let (caller, request) = authorize(request, Scope::LogsRead)?;
        let mut violations = Violations::default();
        let id = violations.check(parse::id("id", request.id)).map(ErasureId);
        let id = violations.finish(id)?;
        let receipt = self.app.get_erasure_receipt(&caller, id).await?;
        Ok(Response::new(proto::GetErasureReceiptResponse { receipt }))
    }

    type ExportDeletionLogsStream = Pin<Box<dyn Stream<Item = Result<proto::ExportDeletionLogsResponse, Status>> + Send>>;

    async fn export_deletion_logs(
        &self,
        request: Request<proto::ExportDeletionLogsRequest>,
    ) -> Result<Response<Self::ExportDeletionLogsStream>, Status> {
        let (caller, request) = authorize(request, Scope::LogsRead)?;
        let mut violations = Violations::default();
        let filter = filter(request.filter.unwrap_or_default(), &mut violations);
        let filter = violations.finish(filter)?;
        let app = self.app.clone();
        // The first part is read before the answer begins, so that a bad request is refused as a whole.
        let token = (!request.resume_token.is_empty()).then_some(request.resume_token);
        let first = app.export_deletion_logs(&caller, &filter, token.as_deref()).await?;
        let parts = try_unfold(first, move |part| {
            let (app, caller, filter) = (app.clone(), caller.clone(), filter.clone());
            async move {
                let Some(part) = part else { return Ok(None) };
                app.check_again(&caller).await?;
                let next = app.export_deletion_logs(&caller, &filter, Some(&part.resume_token)).await?;
                let deletion_logs = part.logs.into_iter().map(render).collect();
                Ok(Some((proto::ExportDeletionLogsResponse { deletion_logs, resume_token: part.resume_token }, next)))
            }
        });
        Ok(Response::new(Box::pin(parts)))
    }
}

fn filter(filter: proto::DeletionLogFilter, violations: &mut Violations) -> Option<DeletionLogFilter> {
    let start_date = violations.check(text::date("filter.start_date", &filter.start_date));
    let end_date = violations.check(text::date("filter.end_date", &filter.end_date));
    let requested_by_sendbird_id =
        violations.check(parse::filter_text("filter.requested_by_sendbird_id", filter.requested_by_sendbird_id, 80));
    let requested_from = violations.check(enumeration("filter.requested_from", filter.requested_from));
    let reason = violations.check(enumeration("filter.reason", filter.reason));
    Some(DeletionLogFilter {
        start_date: start_date?,
        end_date: end_date?,
        ticket_id: parse::filter_id(filter.ticket_id).map(TicketId),
        requested_by_id: parse::filter_id(filter.requested_by_id),
        requested_by_sendbird_id: requested_by_sendbird_id?,
        requested_from: requested_from?,
        reason: reason?,
    })
}

pub(super) fn render(log: DeletionLog) -> proto::DeletionLog {
    proto::DeletionLog {
        id: log.id.0,
        ticket_id: log.ticket_id.0,
        chat_message_id: log.chat_message_id.0,
        message_id: log.message_id.0,
        user_sendbird_id: log.user_sendbird_id,
        user_type: log.user_type.number(),
        create_time: Some(parse::timestamp(log.create_time)),
        delete_time: Some(parse::timestamp(log.delete_time)),
        requested_from: log.requested_from.number(),
        requested_by: log.requested_by.map(Into::into),
        reason: log.reason.map(Enumeration::number).unwrap_or_default(),
        reason_detail: log.reason_detail,
        token_id: log.token_id,
        content_digest: log.content_digest,
        erase_time: log.erase_time.map(parse::timestamp),
    }
}

fn render_hold_event(event: HoldEvent) -> proto::HoldEvent {
    let action = match event.action {
        HoldAction::Placed => proto::HoldAction::Placed,
        HoldAction::Released => proto::HoldAction::Released,
    };
    proto::HoldEvent {
        id: event.id.0,
        ticket_id: event.ticket_id.0,
        action: action.into(),
        placed_id: event.placed_id.map(|id| id.0).unwrap_or_default(),
        create_time: Some(parse::timestamp(event.create_time)),
        reason: event.reason,
        requested_by: event.requested_by.map(Into::into),
        token_id: event.token_id,
    }
}

fn render_erasure(erasure: &Erasure) -> proto::Erasure {
    let cause = match erasure.cause {
        ErasureCause::Command => proto::ErasureCause::Command,
        ErasureCause::Retention => proto::ErasureCause::Retention,
    };
    proto::Erasure {
        id: erasure.id.0,
        erase_time: Some(parse::timestamp(erasure.erase_time)),
        older_than: Some(parse::timestamp(erasure.older_than)),
        cause: cause.into(),
        entry_count: i32::try_from(erasure.leaf_indexes.len()).unwrap_or(i32::MAX),
    }
}

fn entry(ticket_id: i64, id: i64, violations: &mut Violations) -> Option<(TicketId, DeletionLogId)> {
    let ticket_id = violations.check(parse::ticket_id("ticket_id", ticket_id));
    let id = violations.check(parse::id("id", id)).map(DeletionLogId);
    ticket_id.zip(id)
}

/// Takes the size of a tree.
fn size(field: &str, size: i64) -> Result<u64, FieldViolation> {
    u64::try_from(size).map_err(|_| FieldViolation::new(field, Rule::AtLeast { min: 0 }))
}

/// A size or a place in a tree: below 2^53, as all ids are.
fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn bytes(hashes: &[Hash]) -> Vec<Vec<u8>> {
    hashes.iter().map(|hash| hash.0.to_vec()).collect()
}
