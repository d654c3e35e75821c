//! Upcasters in plain Rust over batches.

use uuid::Uuid;

use super::plain::{Answer, Plain, as_shape};
use super::*;
use crate::code::CodeIdentity;
use crate::event::{EventKind, Interest, JSON, Position, StreamVersion, Timestamp, UNREADABLE};

/// Events of the category `order`, by type and schema version, at the positions 1, 2, ...
fn batch(events: &[(&str, u32)]) -> EventBatch {
    let mut batch = EventBatch::default();
    for (position, (event_type, schema_version)) in (1..).zip(events) {
        let kind = EventKind { category: "order".into(), event_type: (*event_type).into(), content_type: JSON.into() };
        let index = batch.kind_index(&kind);
        let stream = format!("order-{}", position % 3);
        let data = format!("{{\"n\":{position}}}");
        let event = EventRef {
            id: Uuid::from_u128(position.into()),
            stream: &stream,
            version: StreamVersion(position),
            position: Position(position),
            kind: &kind,
            schema_version: *schema_version,
            time: Timestamp(position as i64),
            data: data.as_bytes(),
            metadata: "{\"by\":\"ann\"}",
        };
        batch.push(event, index);
    }
    batch
}

fn upcasters(codes: &[&Plain]) -> Upcasters {
    Upcasters::new(codes.iter().map(|code| (*code).clone().code()).collect(), UpcastLimits::default())
        .expect("no circle")
}

/// `Placed` of version 1 becomes version 2, and that `Placed` of version 3 and `PaymentRequested`: by two upcasters.
fn generations() -> [Plain; 2] {
    let first = Plain::new("first", &["Placed 1 > Placed 2"], |event| Ok(vec![as_shape(event, "Placed", 2)]));
    let second = Plain::new("second", &["Placed 2 > Placed 3, PaymentRequested 1"], |event| {
        let data = event.data.iter().chain(b" ").copied().collect();
        Ok(vec![UpcastEvent { data, ..as_shape(event, "Placed", 3) }, as_shape(event, "PaymentRequested", 1)])
    });
    [first, second]
}

fn shapes(batch: &EventBatch) -> Vec<(u64, String)> {
    let shape = |event: EventRef<'_>| (event.position.0, format!("{} {}", event.kind.event_type, event.schema_version));
    batch.iter().map(shape).collect()
}

#[test]
fn every_generation_becomes_the_newest_in_its_place_and_keeps_what_is_its_own() {
    let [first, second] = generations();
    let stored = batch(&[("Placed", 3), ("Placed", 1), ("Paid", 1), ("Placed", 2), ("Paid", 2)]);
    let upcast = upcasters(&[&second, &first]).upcast(stored.clone()).expect("upcast");
    let expected = [
        "1 Placed 3",
        "2 Placed 3",
        "2 PaymentRequested 1",
        "3 Paid 1",
        "4 Placed 3",
        "4 PaymentRequested 1",
        "5 Paid 2",
    ];
    let found: Vec<_> = shapes(&upcast).into_iter().map(|(position, shape)| format!("{position} {shape}")).collect();
    assert_eq!(found, expected);
    for event in upcast.iter() {
        let old = stored.get(event.position.0 as usize - 1);
        let kept = |event: &EventRef<'_>| {
            (event.id, event.stream.to_owned(), event.version, event.time, event.kind.category.clone())
        };
        assert_eq!(kept(&event), kept(&old));
        assert_eq!((event.data.trim_ascii_end(), event.metadata), (old.data, old.metadata));
    }
}

#[test]
fn a_batch_without_old_events_is_not_touched_and_nobody_is_asked() {
    let asked: Answer = |_| panic!("asked");
    let code = Plain::new("a", &["Placed 1 > Placed 2", "Old 1 > Placed 2"], asked);
    let upcasters = upcasters(&[&code]);
    assert_eq!(upcasters.upcast_readable(&batch(&[("Placed", 2), ("Paid", 1)])), Ok(None));
    assert_eq!(upcasters.upcast_readable(&batch(&[])), Ok(None));
    let new = batch(&[("Placed", 2)]);
    assert_eq!(Upcasters::default().upcast(new.clone()), Ok(new));
}

#[test]
fn whoever_would_be_upcast_for_ever_is_refused_and_so_are_two_for_one_shape() {
    let answer: Answer = |event| Ok(vec![UpcastEvent::of(event)]);
    let registry = UpcasterRegistry::default();
    let install = |file: &str, name: &str, sources: &[&str]| {
        registry.install(file, Plain::new(name, sources, answer).code()).map_err(|error| error.to_string())
    };
    install("a.wasm", "a", &["Placed 1 > Placed 2", "Paid 1 > Paid 2"]).expect("installed");
    let refused = install("b.wasm", "b", &["Placed 2 > Placed 3, Placed 1"]).expect_err("a circle");
    assert!(refused.contains("would never end") && refused.contains("Placed of schema version 1"), "{refused}");
    assert!(install("b.wasm", "b", &["Placed 2 > Placed 2"]).is_err(), "a small circle");
    let refused = install("b.wasm", "b", &["Paid 1 > Paid 3"]).expect_err("taken");
    assert!(refused.contains("a.wasm provides Paid of schema version 1"), "{refused}");
    assert_eq!(registry.present().identity().len(), 1, "a refused file changes nothing");
    install("b.wasm", "b", &["Placed 2 > Placed 3"]).expect("installed");
    assert_eq!(registry.present().identity().len(), 2);
    assert!(registry.remove("a.wasm") && !registry.remove("a.wasm"));
    install("b.wasm", "b", &["Placed 2 > Placed 3, Placed 1"]).expect("no circle any more");
}

#[test]
fn an_upcaster_that_fails_or_lies_makes_its_own_events_unreadable_and_says_why() {
    let cases: [(Answer, &str); 7] = [
        (|_| Err(CallFailure::Trapped("unreachable".into())), "the plugin trapped: unreachable"),
        (|_| Err(CallFailure::OutOfFuel("too long".into())), "used up its fuel"),
        (|_| Ok(vec![]), "it answered no event"),
        (|event| Ok(vec![as_shape(event, "Placed", 9)]), "\"Placed\" of schema version 9, which its description"),
        (|event| Ok(vec![UpcastEvent { data: b"{".into(), ..as_shape(event, "Placed", 2) }]), "data is not JSON"),
        (
            |event| Ok(vec![UpcastEvent { metadata: "[]".into(), ..as_shape(event, "Placed", 2) }]),
            "metadata is not a JSON object",
        ),
        (|event| Ok(vec![as_shape(event, "Placed", 2); 101]), "max_upcast_events = 100"),
    ];
    for (answer, expected) in cases {
        let bad = Plain::new("bad", &["Placed 1 > Placed 2"], answer);
        let good = Plain::new("good", &["Paid 1 > Paid 2"], |event| Ok(vec![as_shape(event, "Paid", 2)]));
        let upcasters = upcasters(&[&bad, &good]);
        let stored = batch(&[("Paid", 1), ("Placed", 1), ("Paid", 1)]);
        let shown = upcasters.upcast_readable(&stored).expect("no trouble").expect("changed");
        let found: Vec<_> = shown.iter().map(|event| (event.position.0, event.is_unreadable())).collect();
        assert_eq!(found, [(1, false), (2, true), (3, false)], "{expected}");
        let reason = String::from_utf8_lossy(shown.get(1).data).into_owned();
        for part in [expected, "bad (bad-digest)", "position 2 of stream order-2", "Placed of schema version 1"] {
            assert!(reason.contains(part), "{part:?} is not in {reason}");
        }
        assert_eq!(shown.get(1).kind.content_type, UNREADABLE);
        let failure = upcasters.upcast(stored).expect_err("not all are readable");
        assert_eq!(failure, UpcastFailure::Unreadable { position: Position(2), reason });
    }
}

#[test]
fn one_bad_event_costs_no_other_one_and_the_clock_is_no_judge() {
    let traps_at_2: Answer = |event| match event.position {
        Position(2) => Err(CallFailure::Trapped("two".into())),
        _ => Ok(vec![as_shape(event, "Placed", 2)]),
    };
    let upcaster = Plain::new("a", &["Placed 1 > Placed 2"], traps_at_2);
    let stored = batch(&[("Placed", 1); 4]);
    let unreadable = |code: &Plain| {
        let shown = upcasters(&[code]).upcast_readable(&stored)?.expect("changed");
        Ok(shown.iter().filter(EventRef::is_unreadable).map(|event| event.position.0).collect::<Vec<_>>())
    };
    assert_eq!(unreadable(&upcaster), Ok(vec![2]));
    let slow: Answer = |_| Err(CallFailure::Interrupted("slow machine".into()));
    let fine: Answer = |event| Ok(vec![as_shape(event, "Placed", 2)]);
    assert_eq!(unreadable(&Plain { timed: slow, metered: fine, ..upcaster.clone() }), Ok(vec![]));
    let failure = unreadable(&Plain { timed: slow, metered: slow, ..upcaster }).expect_err("for now");
    assert!(matches!(&failure, UpcastFailure::Unavailable(reason) if reason.contains("slow machine")), "{failure}");
}

#[test]
fn upcasters_matter_to_those_who_want_what_they_take_or_make_directly_or_by_others() {
    let [first, second] = generations();
    let other = Plain::new("other", &["Old 1 > Paid 2", "Older 1 > Old 1"], |event| Ok(vec![UpcastEvent::of(event)]));
    let all = upcasters(&[&first, &second, &other]);
    let interest = |event_types: &[&str]| {
        vec![Interest {
            category: Some("order".into()),
            event_types: event_types.iter().map(|event_type| (*event_type).to_owned()).collect(),
        }]
    };
    let names = |event_types: &[&str]| {
        let touching = all.touching(&interest(event_types)).identity();
        touching.into_iter().map(|code: CodeIdentity| code.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["first", "other", "second"]);
    assert_eq!(names(&["PaymentRequested"]), ["first", "second"]);
    assert_eq!(names(&["Paid"]), ["other"]);
    assert_eq!(names(&["Older"]), ["other"]);
    assert_eq!(names(&["Shipped"]), [""; 0]);
    let stored = |event_types: &[&str]| all.stored_interests(&interest(event_types))[0].event_types.clone();
    assert_eq!(stored(&["PaymentRequested"]), ["PaymentRequested", "Placed"]);
    assert_eq!(stored(&["Paid", "Shipped"]), ["Old", "Older", "Paid", "Shipped"]);
    assert_eq!(stored(&[]), [""; 0]);
    let key = |codes: &[&Plain]| upcasters(codes).key();
    assert_eq!(key(&[&first, &second]), key(&[&second, &first]));
    assert_ne!(key(&[&first, &second]), key(&[&second.digest("changed"), &first]));
}
