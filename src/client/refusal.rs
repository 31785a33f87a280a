//! Why the service refused a call.

use tonic::Status;
use tonic_types::{ErrorInfo, StatusExt};

use crate::proto::ErrorReason;

/// Who gives a reason its meaning.
const DOMAIN: &str = "deskledger";

/// What the service says about its refusal of a call: `reason`, and in `metadata` every value that varies in the text. None where the
/// status does not come from the service: the connection was lost, or something between refused.
#[must_use]
pub fn refusal(status: &Status) -> Option<ErrorInfo> {
    status.get_details_error_info().filter(|info| info.domain == DOMAIN)
}

/// The reason of a refusal. None where [`refusal`] has none, or one that a newer service has and this version does not know.
#[must_use]
pub fn reason(status: &Status) -> Option<ErrorReason> {
    ErrorReason::from_str_name(&format!("ERROR_REASON_{}", refusal(status)?.reason))
}
