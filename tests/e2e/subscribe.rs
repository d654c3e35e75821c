//! The log as server-sent events.

use lantern_tests::{Api, TestHost};
use serde_json::{Value, json};
use ureq::http::Request;

/// The messages of a subscription: position, event type and event.
fn subscribe(
    api: &Api,
    query: &str,
    last_event_id: Option<&str>,
) -> impl Iterator<Item = (u64, String, Value)> + use<> {
    let mut request = Request::get(format!("/events/subscribe?{query}"));
    if let Some(id) = last_event_id {
        request = request.header("last-event-id", id);
    }
    let mut lines = api.lines(request.body(Vec::new()).expect("a valid request"));
    let (mut id, mut event_type) = (0, String::new());
    std::iter::from_fn(move || {
        loop {
            let line = lines.next()?;
            let Some((field, value)) = line.split_once(": ").or_else(|| line.split_once(':')) else { continue };
            match field {
                "id" => id = value.parse().expect("an id is a position"),
                "event" => event_type = value.to_owned(),
                "data" => return Some((id, event_type.clone(), serde_json::from_str(value).expect("data is JSON"))),
                _ => {}
            }
        }
    })
}

fn append(api: &Api, stream: &str, event_type: &str) {
    api.append(stream, &json!([{ "event_type": event_type, "data": {} }]));
}

fn positions(messages: impl Iterator<Item = (u64, String, Value)>, count: usize) -> Vec<u64> {
    messages.take(count).map(|(position, ..)| position).collect()
}

#[test]
fn a_subscriber_gets_the_past_and_then_what_comes() {
    let host = TestHost::start();
    let api = host.api();
    append(&api, "order-1", "Placed");
    let mut messages = subscribe(&api, "", None);
    let (position, event_type, event) = messages.next().expect("a message");
    assert_eq!((position, event_type.as_str(), &event["stream"]), (1, "Placed", &json!("order-1")));
    append(&api, "order-1", "Paid");
    append(&api, "order-2", "Placed");
    assert_eq!(positions(messages, 2), [2, 3]);
}

#[test]
fn a_subscriber_that_comes_back_goes_on_after_its_last_event() {
    let host = TestHost::start();
    let api = host.api();
    for _ in 0..5 {
        append(&api, "order-1", "Placed");
    }
    assert_eq!(positions(subscribe(&api, "", None), 2), [1, 2]);
    assert_eq!(positions(subscribe(&api, "", Some("2")), 3), [3, 4, 5]);
    assert_eq!(positions(subscribe(&api, "after=1", Some("4")), 1), [5], "Last-Event-ID wins over the address");
    assert_eq!(positions(subscribe(&api, "after=3", None), 2), [4, 5]);
    let beyond =
        Request::get("/events/subscribe").header("last-event-id", "6").body(Vec::new()).expect("a valid request");
    assert_eq!(api.send(beyond).status, 400);
}

#[test]
fn a_subscriber_gets_only_what_it_asked_for() {
    let host = TestHost::start();
    let api = host.api();
    let messages = subscribe(&api, "category=order&event_type=Paid", None);
    for (stream, event_type) in [("order-1", "Placed"), ("cart-1", "Paid"), ("order-1", "Paid"), ("order-2", "Paid")] {
        append(&api, stream, event_type);
    }
    assert_eq!(positions(messages, 2), [3, 4]);
}

#[test]
fn a_subscription_ends_when_the_daemon_stops_and_goes_on_with_the_next_one() {
    let mut host = TestHost::start();
    append(&host.api(), "order-1", "Placed");
    let mut messages = subscribe(&host.api(), "", None);
    assert_eq!(messages.next().map(|(position, ..)| position), Some(1));
    assert!(host.stop().success());
    assert!(messages.next().is_none(), "the stream goes on after the daemon");
    host.start_again();
    append(&host.api(), "order-1", "Paid");
    assert_eq!(positions(subscribe(&host.api(), "", Some("1")), 1), [2]);
}
