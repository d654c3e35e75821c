//! What data and metadata of an event must be, whoever wrote them.

use serde::de::IgnoredAny;

use super::{Invalid, is_json};

/// Checks that data which says it is JSON is so, and that metadata is a JSON object.
///
/// # Errors
/// Says what is wrong.
pub fn check_payload(content_type: &str, data: &[u8], metadata: &str) -> Result<(), Invalid> {
    if is_json(content_type) {
        let text = std::str::from_utf8(data).map_err(|error| Invalid(format!("its data is not UTF-8: {error}")))?;
        check_json("data", text)?;
    }
    check_json("metadata", metadata)?;
    if !metadata.trim_start().starts_with('{') {
        return Err(Invalid("its metadata is not a JSON object; write {} when there is none".into()));
    }
    Ok(())
}

fn check_json(what: &str, text: &str) -> Result<(), Invalid> {
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(Invalid(format!("its {what} is not JSON: {error}"))),
    }
}
