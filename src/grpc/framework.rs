//! What the gRPC framework itself refuses before a handler sees it, told as the service tells its own errors.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use tonic::{Code, Status};

use crate::error::Error;
use crate::grpc::status::{self, DETAILS};

/// Gives errors of the framework a reason of ours: a body that is no message of the method's type, or that is too large.
pub(super) async fn explain(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let headers = response.headers();
    if headers.contains_key(DETAILS) {
        return response;
    }
    match Status::from_header_map(headers).map(|refused| refused.code()) {
        Some(Code::Internal) => status::response(Error::RequestMalformed),
        Some(Code::OutOfRange | Code::ResourceExhausted) => status::response(Error::RequestTooLarge),
        _ => response,
    }
}
