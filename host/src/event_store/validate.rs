//! Checks what comes from outside before it is queued, on the thread of the one who sent it.

use std::collections::HashSet;

use uuid::Uuid;

use super::{AppendError, EventStoreOptions};
use crate::event::{Invalid, NewEvent, Timestamp, check_name, check_payload};

/// The years 1 to 9999, which every date format can write.
const TIMES: std::ops::RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;

/// Checks the events of one append or import.
pub(super) fn check_events<'a>(
    events: impl ExactSizeIterator<Item = &'a NewEvent>,
    options: &EventStoreOptions,
) -> Result<(), AppendError> {
    let (count, limit) = (events.len(), options.max_events_per_append);
    if count == 0 {
        return invalid(None, "there is no event in the request".into());
    }
    if count > limit {
        return invalid(None, format!("{count} events in one request; at most {limit} are allowed, so split it"));
    }
    for (index, event) in events.enumerate() {
        check_event(event, options.max_event_bytes)
            .map_err(|reason| AppendError::Invalid { event: Some(index), reason })?;
    }
    Ok(())
}

/// Within one append every id occurs once.
pub(super) fn check_ids_differ(events: &[NewEvent]) -> Result<(), AppendError> {
    let mut seen: HashSet<Uuid> = HashSet::with_capacity(events.len());
    match events.iter().position(|event| !seen.insert(event.id)) {
        Some(index) => invalid(Some(index), format!("its id {} stands in the request twice", events[index].id)),
        None => Ok(()),
    }
}

fn invalid(event: Option<usize>, reason: String) -> Result<(), AppendError> {
    Err(AppendError::Invalid { event, reason: Invalid(reason) })
}

fn check_event(event: &NewEvent, max_bytes: usize) -> Result<(), Invalid> {
    check_name("event type", &event.event_type)?;
    check_name("content type", &event.content_type)?;
    if event.schema_version == 0 {
        return Err(Invalid("its schema version is 0; the first is 1".into()));
    }
    if !TIMES.contains(&event.time.0) {
        let Timestamp(time) = event.time;
        return Err(Invalid(format!("its time, {time} microseconds since 1970, is not in the years 1 to 9999")));
    }
    let bytes = event.data.len() + event.metadata.len();
    if bytes > max_bytes {
        return Err(Invalid(format!("its data and metadata have {bytes} bytes; at most {max_bytes} are allowed")));
    }
    check_payload(&event.content_type, &event.data, &event.metadata)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::event;
    use super::*;

    fn refusal(change: impl FnOnce(&mut NewEvent)) -> Option<String> {
        let mut event = event(1);
        change(&mut event);
        let checked = check_events([&event].into_iter(), &EventStoreOptions::default());
        checked.err().map(|error| error.to_string())
    }

    #[test]
    fn a_sound_event_is_taken() {
        assert_eq!(refusal(|_| ()), None);
        assert_eq!(refusal(|event| event.data = b" [1, \"\xc3\xa9\"] ".to_vec()), None);
        let bytes = |event: &mut NewEvent| (event.content_type, event.data) = ("image/png".into(), vec![0xff, 0]);
        assert_eq!(refusal(bytes), None);
    }

    #[test]
    fn an_unsound_event_is_refused_with_its_place_and_the_reason() {
        type Change = fn(&mut NewEvent);
        let cases: [(Change, &str); 9] = [
            (|event| event.event_type.clear(), "event type is empty"),
            (|event| event.content_type = "a\nb".into(), "control character"),
            (|event| event.schema_version = 0, "schema version is 0"),
            (|event| event.time = Timestamp(i64::MAX), "years 1 to 9999"),
            (|event| event.data = b"{\"a\":1".to_vec(), "data is not JSON"),
            (|event| event.data = b"\"\xff\"".to_vec(), "not UTF-8"),
            (
                |event| (event.content_type, event.data) = ("application/vnd.a+json; v=1".into(), b"{".to_vec()),
                "not JSON",
            ),
            (|event| event.metadata = "[]".into(), "not a JSON object"),
            (|event| event.data = vec![b'1'; 2 << 20], "at most 1048576"),
        ];
        for (change, expected) in cases {
            let message = refusal(change).expect(expected);
            assert!(message.starts_with("event 1 of the request: ") && message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_request_is_neither_empty_nor_too_large_nor_does_it_repeat_an_id() {
        let options = EventStoreOptions { max_events_per_append: 1, ..EventStoreOptions::default() };
        let events = [event(1), event(1)];
        assert!(check_events([].into_iter(), &options).is_err());
        assert!(check_events(events.iter(), &options).is_err());
        assert!(check_ids_differ(&events).is_err());
        assert!(check_ids_differ(&events[..1]).is_ok());
    }
}
