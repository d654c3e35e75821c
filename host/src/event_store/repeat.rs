//! Recognises events that are in the log already, by their ids, so that a caller who got no answer
//! can send the same request again.

use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use super::AppendError;
use super::append::{Failure, Outcome};
use super::sealed::{Found, Segments, Unreadable};
use crate::event::{NewEvent, Position, StreamName, StreamVersion};

/// Where an event is.
pub(super) struct Place {
    pub position: Position,
    stream: String,
    version: StreamVersion,
}

/// The first result of an append whose events are all in the log already; `None` when none is.
pub(super) fn earlier_outcome(
    connection: &Connection,
    mut sealed: Option<&mut Segments>,
    (to, events): (&StreamName, &[NewEvent]),
) -> Result<Option<Outcome>, Failure> {
    let mut places = Vec::new();
    for event in events {
        places.extend(place_of(connection, sealed.as_deref_mut(), event.id)?.map(|place| (event.id, place)));
    }
    let (Some((id, first)), Some((_, last))) = (places.first(), places.last()) else { return Ok(None) };
    let stream = &first.stream;
    let repeats = places.len() == events.len()
        && stream == to.as_str()
        && places
            .iter()
            .zip(first.version.0..)
            .all(|((_, it), version)| it.stream == *stream && it.version.0 == version);
    if repeats {
        return Ok(Some(Outcome {
            first_position: first.position,
            last_position: last.position,
            last_version: last.version,
            appended: 0,
            skipped: places.len() as u64,
        }));
    }
    let found = format!(
        "its id is in the log already, at position {} as version {} of stream {stream}, and the request does not repeat that append",
        first.position, first.version
    );
    Err(Failure::Refused(AppendError::IdReused { stream: to.clone(), id: *id, found }))
}

/// Where the event with this id is. `sealed` is `None` when nothing is sealed.
pub(super) fn place_of(
    connection: &Connection,
    sealed: Option<&mut Segments>,
    id: Uuid,
) -> Result<Option<Place>, Unreadable> {
    let place =
        |position, stream, version| Place { position: Position(position), stream, version: StreamVersion(version) };
    let row = connection
        .prepare_cached(
            "SELECT position, name, version FROM events JOIN streams ON streams.id = stream_id WHERE events.id = ?",
        )?
        .query_row([id.as_bytes()], |row| {
            Ok(place(row.get::<_, i64>(0)? as u64, row.get(1)?, row.get::<_, i64>(2)? as u64))
        })
        .optional()?;
    match sealed.filter(|_| row.is_none()) {
        Some(segments) => {
            let found = segments.find_id(connection, id)?;
            Ok(found.map(|Found { position, stream, version }| place(position, stream, version)))
        }
        None => Ok(row),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::super::fixture::{Fixture, request};
    use super::*;
    use crate::event::ExpectedVersion;
    use crate::event_store::{AppendRequest, Appended};

    #[test]
    fn the_same_events_again_give_the_first_result_even_when_the_stream_moved_on() {
        let Fixture { store, .. } = &Fixture::new();
        store.append(request("order-1", [1])).unwrap();
        let first = store.append(request("order-1", [2, 3])).unwrap();
        store.append(request("order-1", [4])).unwrap();
        for expected in [ExpectedVersion::Any, ExpectedVersion::NoStream, ExpectedVersion::Exact(StreamVersion(1))] {
            let again = store.append(AppendRequest { expected, ..request("order-1", [2, 3]) });
            assert_eq!(again, Ok(Appended { appended: false, ..first }));
        }
        assert_eq!((store.head(), store.stats().commits), (Position(4), 3));
    }

    #[test]
    fn ids_that_are_known_from_something_else_are_refused() {
        let Fixture { store, .. } = &Fixture::new();
        store.append(request("order-1", [1, 2])).unwrap();
        store.append(request("order-2", [3])).unwrap();
        store.append(request("order-1", [4])).unwrap();
        for (name, ids) in [
            ("order-1", vec![1, 9]),
            ("order-1", vec![9, 1]),
            ("order-1", vec![2, 1]),
            ("order-1", vec![1, 4]),
            ("order-1", vec![2, 3]),
            ("order-2", vec![1, 2]),
            ("order-3", vec![1]),
        ] {
            let refusal = store.append(request(name, ids.clone()));
            assert!(matches!(refusal, Err(AppendError::IdReused { .. })), "{name} {ids:?} gave {refusal:?}");
        }
        let message = store.append(request("order-3", [2])).unwrap_err().to_string();
        assert!(message.contains("at position 2 as version 2 of stream order-1"), "{message}");
        assert_eq!(store.head(), Position(4));
    }
}
