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

/// How long the name of an application or a token is at most.
pub const MAX_NAME_CHARACTERS: usize = 255;

/// Takes the name of an application or a token; a control character in it would break the lists that show it.
///
/// # Errors
/// A text that says the rule.
pub fn parse_name(name: &str) -> Result<String, String> {
    if name.chars().count() > MAX_NAME_CHARACTERS || name.chars().any(char::is_control) {
        return Err(format!("a name has at most {MAX_NAME_CHARACTERS} characters, none of them a control character"));
    }
    Ok(name.to_owned())
}
