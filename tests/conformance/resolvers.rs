//! Conflict resolvers in other languages are rehearsed over conflicts that those in Rust decided: there is no difference.

use std::fs;

use lantern_tests::{Api, TestHost, build_plugins};
use serde_json::{Value, json};
use ureq::http::Request;

use crate::languages::Language;
use crate::measured;

/// Each with the example that its language has.
const RESOLVERS: [(&str, &str); 2] = [("javascript", "seat-reservation"), ("typescript", "cart-merge")];

#[test]
fn resolvers_in_other_languages_decide_as_those_in_rust() {
    let host = TestHost::with_settings("[plugins]\nresolve_ms = 20000\n");
    for (name, file) in
        ["seat-reservation", "cart-merge"].into_iter().zip(build_plugins(&["seat-reservation", "cart-merge"]))
    {
        host.drop_in(&format!("{name}.wasm"), &fs::read(file).expect("the plugin can be read"));
        host.wait_for_plugin(&format!("{name}.wasm"), "is loaded", |plugin| plugin["state"] == "loaded");
    }
    let conflicts = [collide_over_seats(&host.api()), collide_over_carts(&host.api())];
    for ((language, example), conflicts) in RESOLVERS.into_iter().zip(conflicts) {
        let language = Language::of(language);
        if let Err(reason) = language.toolchain() {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{} cannot be built: {reason}", language.title);
            measured::say(&format!("{} SKIPPED, no resolver was tested: {reason}", language.title));
            continue;
        }
        let file = language.build_one(example);
        let settings = host.folder().join("lantern.toml");
        let [file, data, settings] =
            [&file, &host.data_folder(), &settings].map(|path| path.to_str().expect("text").to_owned());
        let report = host.cli().json(&["conflict", "rehearse", &file, "--data-dir", &data, "--config", &settings]);
        assert_eq!(report["conflicts"], conflicts, "{}", language.title);
        assert_eq!(report["differences"], json!([]), "{}: {report}", language.title);
        assert!(report["reject"].as_u64() > Some(0) && report["reject"] != report["conflicts"], "{report}");
    }
}

/// Answers how many conflicts there were.
fn collide_over_seats(api: &Api) -> u64 {
    let types = ["SeatsReserved", "ReservationCancelled", "SeatsOffered", "HallClosed"];
    let mut conflicts = 0;
    for (number, (unseen, proposed)) in pairs(&types).enumerate() {
        let stream = format!("seats-{number}");
        let event = |event_type: &str, seats: u64, left: u64| json!({ "event_type": event_type, "data": { "seats": seats, "left": left } });
        append(api, &stream, 0, &json!([event("SeatsOffered", 5, 5)]));
        append(api, &stream, 1, &json!([event(unseen, 2, 3)]));
        for seats in 1..=4 {
            append(api, &stream, 1, &json!([event(proposed, seats, 5), event(proposed, 1, 4)]));
            conflicts += 1;
        }
    }
    conflicts
}

/// Answers how many conflicts there were.
fn collide_over_carts(api: &Api) -> u64 {
    let types = ["ItemAdded", "QuantityChanged", "ItemRemoved", "CheckedOut", "CartBurnt"];
    let mut conflicts = 0;
    for (number, (unseen, proposed)) in pairs(&types).enumerate() {
        for item in ["tea", "milk"] {
            let stream = format!("cart-{number}-{item}");
            let event = |event_type: &str, item: &str| json!([{ "event_type": event_type, "data": { "item": item, "quantity": 1 } }]);
            append(api, &stream, 0, &event("ItemAdded", "tea"));
            append(api, &stream, 1, &event(unseen, "tea"));
            append(api, &stream, 1, &event(proposed, item));
            conflicts += 1;
        }
    }
    conflicts
}

fn pairs<'a>(types: &'a [&'a str]) -> impl Iterator<Item = (&'a str, &'a str)> {
    types.iter().flat_map(|one| types.iter().map(|other| (*one, *other)))
}

fn append(api: &Api, stream: &str, seen: u64, events: &Value) {
    let request = Request::post(format!("/streams/{stream}/events")).header("expected-version", seen);
    let request = request.header("content-type", "application/json");
    let answer = api.send(request.body(events.to_string().into_bytes()).expect("a valid request"));
    assert!([201, 409].contains(&answer.status), "{}", answer.text());
}
