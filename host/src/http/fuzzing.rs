//! CloudEvents for `crate::fuzzing`.

use axum::http::HeaderMap;

use super::cloud_events::events_of;
use super::payload::Payload;
use crate::event::{check_name, is_json};

/// The first line names the media type, or holds the headers of the binary form as `name:value` between tabs; the rest
/// is the body. It is refused, or each of its events may be appended.
pub fn cloud_events(bytes: &[u8]) {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let body = bytes.get(line.len() + 1..).unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut headers = HeaderMap::new();
    let mut words = line.split('\t');
    let media_type = words.next().unwrap_or_default().to_ascii_lowercase();
    for (name, value) in words.filter_map(|word| word.split_once(':')) {
        if let (Ok(name), Ok(value)) = (name.parse::<axum::http::HeaderName>(), value.parse()) {
            headers.insert(name, value);
        }
    }
    let payload = Payload { bytes: body.to_vec().into(), media_type };
    for (_, event) in events_of(&headers, &payload).into_iter().flatten() {
        check_name("type", &event.event_type).expect("a type is a name");
        assert!(event.schema_version >= 1);
        let is_object = |text: &[u8]| serde_json::from_slice::<serde_json::Map<_, _>>(text).is_ok();
        assert!(is_object(event.metadata.as_bytes()), "{}", event.metadata);
        let is_sound = |data: &[u8]| serde_json::from_slice::<&serde_json::value::RawValue>(data).is_ok();
        assert!(!is_json(&event.content_type) || is_sound(&event.data), "{event:?}");
    }
}
