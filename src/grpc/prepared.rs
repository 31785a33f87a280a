//! An error that is told often, written once.

use axum::body::Body;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::{HeaderMap, HeaderValue};
use prost::Message;
use prost_types::Any;
use tonic_types::pb;

use crate::error::Error;
use crate::grpc::status::{DETAILS, status_of};
use crate::telemetry::REQUEST_ID_HEADER;

/// An error as a whole answer of gRPC, in which the id of the call is all that is missing.
pub struct Prepared {
    headers: HeaderMap,
    /// A `google.rpc.Status`.
    details: Vec<u8>,
}

impl Prepared {
    /// Writes an error.
    #[must_use]
    pub fn new(error: &Error) -> Self {
        let status = status_of(error);
        let details = status.details().to_vec();
        let mut headers = status.into_http::<()>().into_parts().0.headers;
        headers.remove(DETAILS);
        Self { headers, details }
    }

    /// The answer to the call of this id.
    #[must_use]
    pub fn response(&self, request_id: HeaderValue) -> Response {
        let mut details = self.details.clone();
        // Messages of one type, one after the other, are one message.
        details.extend(request_info(&request_id).encode_to_vec());
        let mut headers = self.headers.clone();
        if let Ok(details) = HeaderValue::try_from(STANDARD_NO_PAD.encode(details)) {
            headers.insert(DETAILS, details);
        }
        headers.insert(REQUEST_ID_HEADER, request_id);
        let mut response = Response::new(Body::empty());
        *response.headers_mut() = headers;
        response
    }
}

/// A status that says the id of a call and nothing else.
fn request_info(request_id: &HeaderValue) -> pb::Status {
    let request_id = request_id.to_str().unwrap_or_default().to_owned();
    let value = pb::RequestInfo { request_id, serving_data: String::new() }.encode_to_vec();
    let detail = Any { type_url: "type.googleapis.com/google.rpc.RequestInfo".to_owned(), value };
    pb::Status { details: vec![detail], ..Default::default() }
}
