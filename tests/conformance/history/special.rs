//! Events of things that are written by hand: every value that a column can have at its edges, every way to write JSON,
//! every way to fail.

use super::Event;

fn event(id: &str, event_type: &str, data: &str) -> Event {
    Event::new(&format!("thing-{id}"), event_type, data)
}

/// JSON values of the field `note`, as they stand in the event.
const NOTES: [&str; 22] = [
    r#""""#,
    "null",
    r#""plain""#,
    r#""\u0000""#,
    r#""before\u0000after""#,
    r#""\"\\\/\b\f\n\r\t""#,
    r#""\u0001\u001f\u007f""#,
    r#""über""#,
    "\"e\u{301} and é\"",
    r#""\u00e9 = e\u0301""#,
    r#""שלום, عالم""#,
    "\"\u{202e}turned\u{202c}\"",
    r#""日本語 한국어""#,
    r#""🚀""#,
    r#""\ud83d\ude80""#,
    r#""\uD83D\uDC69\u200d\uD83D\uDC67 = 👩‍👧""#,
    r#""\u2028\u2029\ufeff\ufffd""#,
    "\"\u{feff}\u{10ffff}\u{ffff}\"",
    r#""' ; DROP TABLE things; --""#,
    r#""{\"not\": \"an object\"}""#,
    r#""%s%n$HOME`id`""#,
    r#"" spaces  ""#,
];

const WHOLES: [&str; 12] = [
    "0",
    "1",
    "-1",
    "2147483647",
    "2147483648",
    "-2147483648",
    "-2147483649",
    "4294967295",
    "4294967296",
    "9007199254740991",
    "-9007199254740991",
    "null",
];

const FRACTIONS: [&str; 24] = [
    "0.0",
    "-0.0",
    "0",
    "-0",
    "1",
    "-12",
    "0.1",
    "-0.1",
    "0.30000000000000004",
    "4.35",
    "5e-324",
    "-5e-324",
    "1e308",
    "1.7976931348623157e308",
    "-1.7976931348623157E+308",
    "2.2250738585072014e-308",
    "2.2250738585072011e-308",
    "1E5",
    "1e-7",
    "1e23",
    "0.1000000000000000055511151231257827021181583404541015625",
    "179769313486231570000000000000000000000e270",
    "3.0000000000000000000000000000000000001",
    "null",
];

/// Text that is an id, a group or an event's type somewhere.
pub const NAMES: [&str; 16] = [
    "plain",
    "with-dashes-in-it",
    "with spaces",
    "日本",
    "🚀",
    "👩‍👩‍👧",
    "e\u{301}",
    "é",
    "שלום",
    "عالم",
    "a'b\"c",
    "back\\slash",
    "a/b?c=d&e#f",
    "%41",
    "a,b",
    "ﬀ ǅ ß",
];

/// Where nothing fails.
pub fn sound() -> Vec<Event> {
    let mut events = Vec::new();
    for (number, note) in NOTES.into_iter().enumerate() {
        events.push(event(&format!("note-{number}"), "ThingStored", &format!(r#"{{"group":"notes","note":{note}}}"#)));
    }
    for (number, whole) in WHOLES.into_iter().enumerate() {
        let data = format!(r#"{{"group":"edge-{number}","whole":{whole},"flag":true}}"#);
        events.push(event(&format!("whole-{number}"), "ThingStored", &data));
        events.push(event(&format!("whole-{number}"), "GroupCounted", &format!(r#"{{"group":"edge-{number}"}}"#)));
    }
    for (number, fraction) in FRACTIONS.into_iter().enumerate() {
        let data = format!(r#"{{"fraction":{fraction},"group":"fractions"}}"#);
        events.push(event(&format!("fraction-{number}"), "ThingStored", &data));
    }
    for (number, bytes) in ["\"\"", "\"00\"", "\"ff00fe01\"", "null"].into_iter().enumerate() {
        let data = format!(r#"{{"bytes":{bytes},"group":"blobs","flag":false}}"#);
        events.push(event(&format!("bytes-{number}"), "ThingStored", &data));
    }
    for name in NAMES {
        let group = name.replace('\\', "\\\\").replace('"', "\\\"");
        events.push(event(name, "ThingStored", &format!(r#"{{"group":"{group}","flag":true,"whole":7}}"#)));
        events.push(event(name, "ThingCopied", &format!(r#"{{"to":"{group} (copy)"}}"#)));
        events.push(event(name, "GroupCounted", &format!(r#"{{"group":"{group}"}}"#)));
    }
    events.extend(large_values());
    events.extend(written_strangely());
    events.extend(found_at_once());
    events.extend(echoes());
    events
}

fn large_values() -> [Event; 3] {
    let note = "Größe 🚀 ".repeat(6_000);
    let bytes = "00ff10a5".repeat(5_000);
    let nested = format!("{}1{}", "[{\"a\":".repeat(40), "}]".repeat(40));
    [
        event("large-note", "ThingStored", &format!(r#"{{"group":"large","note":"{note}"}}"#)),
        event("large-bytes", "ThingStored", &format!(r#"{{"group":"large","bytes":"{bytes}"}}"#)),
        event("deep", "ThingStored", &format!(r#"{{"unknown":{nested},"group":"large","whole":1}}"#)),
    ]
}

fn written_strangely() -> Vec<Event> {
    let stored = [
        " { \"group\" :\t\"strange\" , \"whole\" :  1 }  ",
        r#"{"\u0067roup":"strange","\u0077hole":2}"#,
        r#"{"Group":"no","GROUP":"no","whole ":9,"group":"strange","":0}"#,
        r#"{"group":"strange","whole":3,"more":{"group":"no","whole":9,"deep":[{"flag":true},[],{}]}}"#,
        r#"{"more":[1,-2.5e3,"group",null,true,false,{"note":"no"}],"group":"strange","whole":4,"note":null}"#,
        r#"{"group":"strange","whole":null,"fraction":null,"note":null,"bytes":null,"flag":null}"#,
        r#"{"group":""}"#,
        r#"{"group":"a\u0000b","flag":true}"#,
        r#"{"group":"a","flag":true}"#,
    ];
    let mut events: Vec<_> = stored
        .iter()
        .enumerate()
        .map(|(number, data)| event(&format!("strange-{number}"), "ThingStored", data))
        .collect();
    for data in ["{}", "null", r#"{"group":"no","whole":9}"#, r#"{"a":{"b":[1,2,{"c":"d"}]}}"#] {
        events.push(event("touched", "ThingTouched", data));
    }
    events.push(event("strange-0", "ThingTouched", "null"));
    for group in ["strange", "", "a\\u0000b", "a", "nobody", "A"] {
        events.push(event("counter", "GroupCounted", &format!(r#"{{"group":"{group}","whole":"no"}}"#)));
    }
    events
}

/// Searches that must find what was written a moment ago, and nothing that is gone.
fn found_at_once() -> Vec<Event> {
    let stored = |id: &str, rest: &str| event(id, "ThingStored", &format!(r#"{{"group":"crew",{rest}}}"#));
    let counted = || event("captain", "GroupCounted", r#"{"group":"crew"}"#);
    vec![
        counted(),
        stored("bob", r#""whole":2,"flag":true"#),
        stored("ann", r#""whole":1,"flag":false"#),
        counted(),
        stored("ann", r#""whole":10,"flag":true"#),
        stored("cid", r#""whole":3"#),
        counted(),
        event("bob", "ThingRemoved", "{}"),
        counted(),
        event("bob", "ThingTouched", "{}"),
        stored("bob", r#""whole":4,"flag":true"#),
        event("bob", "ThingCopied", r#"{"to":"bob"}"#),
        event("bob", "ThingCopied", r#"{"to":"bob 2"}"#),
        event("ann", "ThingCopied", r#"{"to":"bob 2","note":"no"}"#),
        counted(),
        event("cid", "ThingStored", r#"{"group":"passengers","whole":3}"#),
        counted(),
        event("captain", "GroupDissolved", r#"{"group":"crew"}"#),
        event("captain", "GroupDissolved", r#"{"group":"crew"}"#),
        counted(),
        stored("dan", r#""whole":5,"flag":true"#),
        counted(),
    ]
}

fn echoes() -> Vec<Event> {
    let echoed = |id: &str, data: &str| event(id, "ThingEchoed", data);
    let typed = |content_type: &str, data: &[u8]| Event {
        content_type: content_type.to_owned(),
        // All that a CloudEvent leaves for the metadata.
        metadata: r#"{"source":"/conformance"}"#.to_owned(),
        ..Event::new("thing-typed", "ThingEchoed", data)
    };
    let with_metadata = |metadata: &str| Event { metadata: metadata.to_owned(), ..echoed("echo-metadata", "{}") };
    let at = |time: &str, micros: i64| Event { time: (time.to_owned(), micros), ..echoed("echo-time", "{}") };
    let in_shape = |schema_version| Event { schema_version, ..echoed("echo-shape", "{}") };
    let mut events = vec![
        typed("application/octet-stream", &[]),
        typed("application/octet-stream", &[0]),
        typed("application/octet-stream", &[0, 255, 128]),
        typed("text/plain; charset=utf-8", "Größe 🚀".as_bytes()),
        typed("image/png", &(0..=255).collect::<Vec<u8>>()),
        typed("application/vnd.thing+json", " { \"a\" : [1, 2] }".trim().as_bytes()),
        typed("Application/vnd.Thing+JSON; v=1", br#"{"a":"b"}"#),
        Event {
            event_type: "ThingStored".into(),
            ..typed("application/vnd.thing+json", br#"{"group":"typed","whole":1}"#)
        },
        with_metadata(r#"{"user":"ann","roles":["a","b"],"nested":{"x":null,"y":1.50}}"#),
        with_metadata("{ \"spaced\" :\t1 ,  \"text\" : \"\\u00e9 é 🚀\" }"),
        at("1970-01-01T00:00:00Z", 0),
        at("1969-12-31T23:59:59.999999Z", -1),
        at("2026-01-31T13:00:00.000001+01:00", 1_769_860_800_000_001),
        at("2255-06-05T23:47:34.740991Z", 9_007_199_254_740_991),
        in_shape(2),
        in_shape(u32::MAX),
        Event::new("thing", "ThingEchoed", r#"{"the stream has":"no id"}"#),
        Event::new("thing-", "ThingEchoed", r#"{"the id is":""}"#),
    ];
    let texts = [
        "{}",
        "null",
        "[]",
        "0",
        "true",
        r#""text""#,
        r#"{"a" : 1.0,"b":1e2, "c":  [ ] }"#,
        r#"["\u0000","\ud83d\ude80"]"#,
    ];
    events.extend(texts.map(|text| echoed("echo-data", text)));
    events.extend(NAMES.map(|name| echoed(name, "{}")));
    events
}

/// One stream each: what fails first, and what the dead letter must contain.
pub fn failing() -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    let mut fail = |event_type: &str, data: &str| {
        events.push(event(&format!("failing-{}", events.len()), event_type, data));
    };
    fail("ThingRefused", r#"{"why":"it is Tuesday"}"#);
    fail("ThingRefused", r#"{"why":"Größe 🚀 \"quoted\" שלום","more":1}"#);
    fail("ThingRefused", "{}");
    fail("ThingTrapped", "{}");
    fail("ThingTrapped", "null");
    fail("ThingRenamed", "{}");
    fail("Umbenannt 🚀", "null");
    fail("thingstored", r#"{"group":"no"}"#);
    for data in ["{}", "null", "[]", "\"group\"", "5", r#"{"group":null}"#, r#"{"group":5}"#, r#"{"group":["a"]}"#] {
        fail("ThingStored", data);
    }
    for whole in ["1.5", "\"7\"", "true", "[1]", "{}", "1e400", "123456789012345678901234567890"] {
        fail("ThingStored", &format!(r#"{{"group":"no","whole":{whole}}}"#));
    }
    for fraction in ["\"0.1\"", "true", "1e400", "-1e400", "[]"] {
        fail("ThingStored", &format!(r#"{{"group":"no","fraction":{fraction}}}"#));
    }
    for wrong in [r#""note":5"#, r#""note":{}"#, r#""bytes":7"#, r#""flag":"true""#, r#""flag":1"#, r#""flag":0"#] {
        fail("ThingStored", &format!(r#"{{"group":"no",{wrong}}}"#));
    }
    fail("ThingCopied", r#"{"to":"no"}"#);
    fail("ThingRemoved", "{}");
    fail("GroupCounted", "{}");
    fail("GroupDissolved", r#"{"group":1}"#);
    let binary = Event::new("thing-failing-binary", "ThingStored", [0, 255, 1]);
    let metadata = r#"{"source":"/conformance"}"#.to_owned();
    events.push(Event { content_type: "application/octet-stream".into(), metadata, ..binary });
    events
}
