//! The history of the three example plugins: conferences, orders and flights.

use lantern_tests::Seeded;
use serde_json::{Value, json};

use super::Event;

pub const CONFERENCE: &str = "conference";
pub const ORDER: &str = "order";
pub const FLIGHTS: &str = "aircraft";

fn event(category: &str, id: &str, event_type: &str, data: &Value) -> Event {
    Event::new(&format!("{category}-{id}"), event_type, data.to_string())
}

pub fn conferences(random: &mut Seeded) -> Vec<Event> {
    let mut events = Vec::new();
    for _ in 0..800 {
        let id = match random.below(40) {
            id @ 0..30 => format!("{id}"),
            id => format!("Größe-{id} 🚀"),
        };
        let seats = json!({ "seats": random.below(50), "hall": "A" });
        events.push(match random.below(20) {
            0..2 => event(CONFERENCE, &id, "ConferenceOpened", &json!({ "seats": 20 * random.below(50) })),
            2..14 => event(CONFERENCE, &id, "SeatsReserved", &seats),
            14..18 => event(CONFERENCE, &id, "ReservationCancelled", &seats),
            // Nobody wants these.
            18 => event(CONFERENCE, &id, "ConferenceRenamed", &json!({ "seats": 1_000_000 })),
            _ => event("venue", &id, "SeatsReserved", &seats),
        });
    }
    for (at, data) in [
        (100, json!({ "seat": 1 })),
        (300, json!({ "seats": "7" })),
        (500, json!({ "seats": null })),
        (700, json!({ "seats": 1.5 })),
    ] {
        events.insert(at, event(CONFERENCE, &format!("failing-{at}"), "SeatsReserved", &data));
        events.insert(at + 10, event(CONFERENCE, &format!("failing-{at}"), "ConferenceRenamed", &json!({})));
        events.insert(at + 20, event(CONFERENCE, &format!("failing-{at}"), "ConferenceOpened", &json!({ "seats": 5 })));
    }
    events
}

pub fn orders(random: &mut Seeded) -> Vec<Event> {
    let mut events = Vec::new();
    for order in 0..300 {
        let id = format!("{order}");
        let customer = ["ann", "bob \"b\"", "Çelik 🚀", "e\u{301}"][random.below(4) as usize];
        let time = (format!("2026-01-31T12:{:02}:00Z", order % 60), 1_769_860_800_000_000 + order % 60 * 60_000_000);
        let placed = event(ORDER, &id, "OrderPlaced", &json!({ "customer": customer, "channel": "web" }));
        let mut steps = vec![Event { time, ..placed }];
        for _ in 0..random.below(6) {
            let item =
                json!({ "product": "tea", "quantity": 1 + random.below(9), "unit_price_cents": random.below(100_000) });
            steps.push(event(ORDER, &id, "ItemAdded", &item));
        }
        for event_type in ["OrderPaid", "OrderShipped", "OrderCancelled"] {
            if random.below(2) == 0 {
                steps.push(event(ORDER, &id, event_type, &json!({})));
            }
        }
        if order % 50 == 7 {
            // The first event of its stream is not what an order starts with.
            steps.rotate_left(1);
        }
        events.push(steps);
    }
    interleaved(events, random)
}

pub fn flights(random: &mut Seeded) -> Vec<Event> {
    const CARRIERS: [&str; 5] = ["UA", "AA", "B6", "DL", "9E"];
    const PLACES: [&str; 6] = ["LAX", "ORD", "SFO", "MIA", "BOS", "ATL"];
    let mut events = Vec::new();
    for flight in 0..3_500 {
        let tail_number = format!("N{}", 100 + random.below(150));
        let (carrier, dest) = (CARRIERS[random.below(5) as usize], PLACES[random.below(6) as usize]);
        let name = format!("{carrier}{flight}");
        let mut fly = |event_type: &str, data: Value| events.push(event(FLIGHTS, &tail_number, event_type, &data));
        fly(
            "FlightScheduled",
            json!({ "flight": name, "carrier": carrier, "origin": "JFK", "dest": dest, "distance": 100 + random.below(2_500) }),
        );
        if random.below(30) == 0 {
            fly("FlightCancelled", json!({ "flight": name, "carrier": carrier, "origin": "JFK" }));
            continue;
        }
        let delay = random.below(120) as i64 - 20;
        fly("FlightDeparted", json!({ "flight": name, "carrier": carrier, "origin": "JFK", "delay": delay }));
        fly(
            "FlightArrived",
            json!({ "flight": name, "carrier": carrier, "dest": dest, "delay": delay, "air_time": 200 }),
        );
    }
    events
}

/// The events of many streams, each in its order.
fn interleaved(streams: Vec<Vec<Event>>, random: &mut Seeded) -> Vec<Event> {
    let mut streams: Vec<_> = streams.into_iter().map(std::collections::VecDeque::from).collect();
    let mut events = Vec::new();
    while !streams.is_empty() {
        let open = streams.len().min(20) as u64;
        let chosen = random.below(open) as usize;
        match streams[chosen].pop_front() {
            Some(event) => events.push(event),
            None => drop(streams.remove(chosen)),
        }
    }
    events
}
