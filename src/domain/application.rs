//! Applications: the tenants.

/// How long an application's public id is at most: with the prefix `desk-api-` it is a DNS label.
pub const MAX_ID_CHARACTERS: usize = 54;

/// Takes a public id: lower-case letters, digits and inner hyphens, at most 54 characters.
///
/// # Errors
/// A text that says the rule.
pub fn parse_id(id: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if id.is_empty() || id.len() > MAX_ID_CHARACTERS || !id.bytes().all(allowed) || id.starts_with('-') || id.ends_with('-') {
        return Err(format!("an application id has 1 to {MAX_ID_CHARACTERS} lower-case letters, digits and inner hyphens"));
    }
    Ok(id.to_owned())
}
