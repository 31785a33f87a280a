//! What a refused call says.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// A refusal as a caller's program reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub code: Code,
    pub reason: String,
    pub message: String,
    pub metadata: HashMap<String, String>,
    /// The fields that the BadRequest detail names, each with its text.
    pub fields: Vec<(String, String)>,
}

/// Reads the one ErrorInfo that every refusal of the service has.
pub fn refusal(status: &Status) -> Refusal {
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("a refusal has an ErrorInfo: {status:?}"));
    assert_eq!(info.domain, "deskledger");
    let fields = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
    Refusal {
        code: status.code(),
        reason: info.reason.clone(),
        message: status.message().to_owned(),
        metadata: info.metadata.clone(),
        fields: fields.into_iter().map(|violation| (violation.field, violation.description)).collect(),
    }
}

impl Refusal {
    /// The fields that the refusal names.
    pub fn field_names(&self) -> Vec<&str> {
        self.fields.iter().map(|(field, _)| field.as_str()).collect()
    }
}
