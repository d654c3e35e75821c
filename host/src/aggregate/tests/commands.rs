//! Commands: each is handled once, whatever happens, and every answer is true.

use super::*;
use crate::event::{Position, StreamVersion};
use crate::event_store::{AppendError, Direction};

impl Fixture {
    fn version(&self) -> u64 {
        self.events.stream_version(&"tally-1".parse().unwrap()).unwrap().0
    }

    /// Handles a command that cannot be, and answers why.
    fn refusal(&self, command: &Command) -> AggregateError {
        let before = self.version();
        let refusal = self.handle("tally-1", command).unwrap_err();
        assert_eq!(self.version(), before, "nothing was appended");
        refusal
    }
}

#[test]
fn the_same_command_again_gives_the_first_result_also_when_it_would_be_refused_by_now() {
    let fixture = Fixture::new();
    let first = fixture.handle("tally-1", &command(1, "AddFirst")).unwrap();
    let positions = Some((Position(1), Position(1)));
    assert_eq!(first, Handled { positions, version: StreamVersion(1), appended: true });
    let two = fixture.handle("tally-1", &command(2, "AddTwo")).unwrap();
    assert_eq!((two.positions, two.version), (Some((Position(2), Position(3))), StreamVersion(3)));
    fixture.append("tally-1", [event(0, 0)]);
    assert_eq!(fixture.handle("tally-1", &command(1, "AddFirst")).unwrap(), Handled { appended: false, ..first });
    assert_eq!(fixture.handle("tally-1", &command(2, "AddTwo")).unwrap(), Handled { appended: false, ..two });
    assert_eq!(fixture.version(), 4);
    let elsewhere = fixture.handle("tally-2", &command(1, "AddFirst")).unwrap();
    assert!(elsewhere.appended, "an id belongs to one aggregate");
}

#[test]
fn events_say_which_command_led_to_them_and_keep_their_own_metadata() {
    let fixture = Fixture::new();
    fixture.handle("tally-1", &command(2, "AddTwo")).unwrap();
    let page = fixture.events.read_stream(&"tally-1".parse().unwrap(), None, Direction::Forwards, 9).unwrap();
    let id = Uuid::from_u128(2).to_string();
    for event in &page.events {
        let metadata: serde_json::Value = serde_json::from_str(&event.metadata).unwrap();
        let origin = &metadata["lantern.command"];
        assert_eq!(
            (&origin["id"], &origin["command_type"], &origin["events"]),
            (&id.as_str().into(), &"AddTwo".into(), &2.into())
        );
        assert!(event.time > Timestamp(0));
    }
    assert!(page.events[0].metadata.contains(r#""user":1.50"#), "{}", page.events[0].metadata);
}

#[test]
fn another_command_with_the_same_id_is_refused_however_it_is_written() {
    let fixture = Fixture::new();
    let with = |command_type: &str, data: &str| Command { data: data.into(), ..command(1, command_type) };
    fixture.handle("tally-1", &with("Add", r#"{"a":1,"b":2}"#)).unwrap();
    assert!(!fixture.handle("tally-1", &with("Add", "{ \"b\": 2, \"a\": 1 }")).unwrap().appended, "it is the same");
    let metadata = Command { metadata: r#"{"trace":2}"#.into(), ..with("Add", r#"{"a":1,"b":2}"#) };
    assert!(!fixture.handle("tally-1", &metadata).unwrap().appended, "it is the same, on another way");
    for other in [with("AddTwo", r#"{"a":1,"b":2}"#), with("Add", r#"{"a":1,"b":3}"#)] {
        let refusal = fixture.refusal(&other);
        assert!(matches!(refusal, AggregateError::CommandIdReused { .. }), "{refusal}");
    }
}

#[test]
fn a_command_that_changed_nothing_or_was_refused_is_decided_again() {
    let fixture = Fixture::new();
    let nothing = Handled { positions: None, version: StreamVersion(0), appended: false };
    assert_eq!(fixture.handle("tally-1", &command(1, "Nothing")).unwrap(), nothing);
    fixture.append("tally-1", [event(0, 0)]);
    let refusal = fixture.refusal(&command(1, "AddFirst"));
    assert_eq!(refusal.to_string(), "it is not the first");
    assert!(matches!(refusal, AggregateError::Rejected { version: StreamVersion(1), .. }));
    assert_eq!(fixture.handle("tally-1", &command(1, "Add")).unwrap().version, StreamVersion(2));
}

#[test]
fn a_command_that_others_overtook_is_decided_again_on_the_newer_state_and_not_for_ever() {
    let fixture = Fixture::new();
    let handled = fixture.handle("tally-1", &command(1, "Race")).unwrap();
    assert_eq!((handled.version, handled.appended), (StreamVersion(2), true));
    let page = fixture.events.read_stream(&"tally-1".parse().unwrap(), None, Direction::Backwards, 1).unwrap();
    assert_eq!(page.events[0].data, b"1", "it was decided on version 1");
    let refusal = fixture.handle("tally-1", &command(2, "LoseEveryRace")).unwrap_err();
    assert!(matches!(refusal, AggregateError::Overtaken { attempts: 64, .. }), "{refusal}");
    assert_eq!(fixture.version(), 2 + 64);
}

#[test]
fn what_a_plugin_decides_wrongly_is_its_failure_and_appends_nothing() {
    let fixture = Fixture::new();
    for (command_type, words) in
        [("Trap", "unreachable"), ("Nameless", "event type is empty"), ("Listed", "no JSON object")]
    {
        let refusal = fixture.refusal(&command(1, command_type));
        assert!(matches!(refusal, AggregateError::Plugin { .. }), "{refusal}");
        let place = format!("could not handle the command {command_type} on version 0 of stream tally-1");
        assert!(refusal.to_string().contains(words) && refusal.to_string().contains(&place), "{refusal}");
    }
    let unknown = fixture.handle("order-1", &command(1, "Add")).unwrap_err();
    assert!(matches!(unknown, AggregateError::UnknownCategory { known, .. } if known == ["tally"]));
    fixture.events.clone().close();
    assert!(matches!(fixture.refusal(&command(1, "Add")), AggregateError::Append(AppendError::Closed)));
}

#[test]
fn a_command_that_is_refused_because_it_was_handled_at_the_same_moment_gives_that_result() {
    let fixture = Fixture::new();
    let handled = fixture.handle("tally-1", &command(1, "RefusedMeanwhile")).unwrap();
    let positions = Some((Position(1), Position(1)));
    assert_eq!(handled, Handled { positions, version: StreamVersion(1), appended: false });
}

#[test]
fn the_same_command_from_many_threads_at_once_is_handled_once() {
    let fixture = &Fixture::new();
    let answers: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..16).map(|n| scope.spawn(move || fixture.handle("tally-1", &command(n / 8, "AddFirst")))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let appended = answers.iter().flatten().filter(|handled| handled.appended).count();
    assert_eq!((appended, fixture.version()), (1, 1), "{answers:?}");
    let first = answers.iter().flatten().next().unwrap();
    assert!(answers.iter().flatten().all(|handled| handled.positions == first.positions), "{answers:?}");
    assert_eq!(answers.iter().flatten().count(), 8, "the other command is refused: {answers:?}");
}
