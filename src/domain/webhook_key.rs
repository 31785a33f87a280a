//! Keys that sign webhooks: what their texts may be.

/// How many characters a key or a secret has at most.
pub const MAX_CHARACTERS: usize = 255;

/// Takes a key. It has to fit into a header.
///
/// # Errors
/// A text that says the rule.
pub fn parse_key(key: &str) -> Result<String, String> {
    let is_good = (1..=MAX_CHARACTERS).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    is_good.then(|| key.to_owned()).ok_or_else(|| format!("a key has 1 to {MAX_CHARACTERS} ASCII characters, none of them a space"))
}

/// Takes a secret. White space at an end, such as that of a file it was read from, is nearly always there by mistake, and no signature
/// would tell.
///
/// # Errors
/// A text that says the rule, and nothing of the secret.
pub fn parse_secret(secret: &str) -> Result<String, String> {
    let is_good =
        (1..=MAX_CHARACTERS).contains(&secret.chars().count()) && !secret.chars().any(char::is_control) && secret.trim() == secret;
    is_good
        .then(|| secret.to_owned())
        .ok_or_else(|| format!("a secret has 1 to {MAX_CHARACTERS} characters, no white space at an end and no control character"))
}
