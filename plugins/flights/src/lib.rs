//! Punctuality of carriers and the travels of aircraft.

use lantern_sdk::prelude::*;

table! {
    /// The flights of one carrier.
    pub struct Carrier in "carriers" {
        key carrier: String,
        /// Scheduled flights, cancelled ones included.
        flights: i64,
        cancelled: i64,
        departures: i64,
        /// In minutes; flights that left early count below zero.
        total_departure_delay: i64,
        /// In minutes; null before the first departure.
        mean_departure_delay: Option<f64>,
    }
}

table! {
    /// The flights of one aircraft.
    pub struct Aircraft in "aircraft" {
        key tail_number: String,
        /// Scheduled flights, cancelled ones included.
        flights: i64,
        /// Miles of the scheduled flights.
        distance: i64,
        /// Where the flight that was scheduled last goes to.
        last_destination: String,
    }
}

events! {
    enum Event<'a> {
        FlightScheduled { carrier: &'a str, dest: &'a str, distance: i64 },
        FlightDeparted { carrier: &'a str, delay: i64 },
        FlightCancelled { carrier: &'a str },
    }
}

struct Flights;

impl Projection for Flights {
    const NAME: &str = "flights";
    const READ_MODEL_VERSION: u32 = 1;
    const CATEGORIES: &[&str] = &["aircraft"];
    type Event<'a> = Event<'a>;
    type Tables = (Table<Carrier>, Table<Aircraft>);

    fn apply(event: Recorded<Event>, (carriers, fleet): &mut Self::Tables) -> Result<(), Error> {
        match event.data {
            Event::FlightScheduled { carrier, dest, distance } => {
                carriers.get_or_default(carrier).flights += 1;
                let aircraft = fleet.get_or_default(event.aggregate_id);
                aircraft.flights += 1;
                aircraft.distance += distance;
                aircraft.last_destination = dest.into();
            }
            Event::FlightDeparted { carrier, delay } => {
                let row = carriers.get_or_default(carrier);
                row.departures += 1;
                row.total_departure_delay += delay;
                row.mean_departure_delay = Some(row.total_departure_delay as f64 / row.departures as f64);
            }
            Event::FlightCancelled { carrier } => carriers.get_or_default(carrier).cancelled += 1,
        }
        Ok(())
    }
}

export_projection!(Flights);

#[cfg(test)]
mod tests {
    use lantern_sdk::testing::{ProjectionSpec, TestEvent, event, json};

    use super::*;

    fn scheduled(tail_number: &str, dest: &str, distance: i64) -> TestEvent {
        let data = json!({ "flight": "UA1", "carrier": "UA", "origin": "JFK", "dest": dest, "distance": distance });
        event(&format!("aircraft-{tail_number}"), "FlightScheduled", data)
    }

    fn departed(delay: i64) -> TestEvent {
        event("aircraft-N1", "FlightDeparted", json!({ "carrier": "UA", "origin": "JFK", "delay": delay }))
    }

    fn cancelled() -> TestEvent {
        event("aircraft-N1", "FlightCancelled", json!({ "carrier": "UA" }))
    }

    #[test]
    fn a_carrier_counts_flights_and_takes_the_mean_delay_of_departures() {
        ProjectionSpec::<Flights>::given([scheduled("N1", "LAX", 2475), departed(10)])
            .when([scheduled("N1", "ORD", 740), departed(-3), scheduled("N1", "SFO", 2586), cancelled()])
            .then_rows([Carrier {
                carrier: "UA".into(),
                flights: 3,
                cancelled: 1,
                departures: 2,
                total_departure_delay: 7,
                mean_departure_delay: Some(3.5),
            }]);
    }

    #[test]
    fn a_carrier_that_never_departed_has_no_mean_delay() {
        ProjectionSpec::<Flights>::given([]).when([scheduled("N1", "LAX", 2475), cancelled()]).then_row(Carrier {
            flights: 1,
            cancelled: 1,
            ..Carrier::with_key("UA")
        });
    }

    #[test]
    fn an_aircraft_adds_up_distances_and_keeps_the_last_destination() {
        ProjectionSpec::<Flights>::given([scheduled("N1", "LAX", 2475), scheduled("UNKNOWN", "MIA", 1096)])
            .when([scheduled("N1", "ORD", 740), cancelled()])
            .then_rows([
                Aircraft { tail_number: "N1".into(), flights: 2, distance: 3215, last_destination: "ORD".into() },
                Aircraft { tail_number: "UNKNOWN".into(), flights: 1, distance: 1096, last_destination: "MIA".into() },
            ]);
    }
}
