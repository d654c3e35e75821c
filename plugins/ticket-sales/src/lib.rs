//! Tickets and money of each show. Knows the newest generation of events only: upcasters see to the older ones.

use lantern_sdk::prelude::*;

table! {
    /// What was sold for one show.
    pub struct Show in "shows" {
        key show: String,
        tickets: i64,
        requested_cents: i64,
    }
}

#[derive(Deserialize)]
enum Event {
    TicketSold {},
    PaymentRequested { cents: i64 },
}

struct TicketSales;

impl Projection for TicketSales {
    const NAME: &str = "ticket-sales";
    const READ_MODEL_VERSION: u32 = 1;
    const CATEGORIES: &[&str] = &["show"];
    type Event<'a> = Event;
    type Tables = Table<Show>;

    fn apply(event: Recorded<Event>, shows: &mut Table<Show>) -> Result<(), Error> {
        ensure!(
            event.event_type != "TicketSold" || event.schema_version == 3,
            "this ticket is of generation {}: drop in the ticket-upcaster",
            event.schema_version
        );
        let row = shows.get_or_default(event.aggregate_id);
        match event.data {
            Event::TicketSold {} => row.tickets += 1,
            Event::PaymentRequested { cents } => row.requested_cents += cents,
        }
        Ok(())
    }
}

export_projection!(TicketSales);

#[cfg(test)]
mod tests {
    use lantern_sdk::testing::{ProjectionSpec, TestEvent, event, json};

    use super::*;

    fn sold(schema_version: u32) -> TestEvent {
        TestEvent { schema_version, ..event("show-1", "TicketSold", json!({ "seat": "A1" })) }
    }

    #[test]
    fn tickets_and_their_money_are_added_up() {
        ProjectionSpec::<TicketSales>::given([sold(3)])
            .when([event("show-1", "PaymentRequested", json!({ "cents": 1250 })), sold(3)])
            .then_rows([Show { show: "1".into(), tickets: 2, requested_cents: 1250 }]);
    }

    #[test]
    fn an_older_generation_is_refused() {
        ProjectionSpec::<TicketSales>::given([]).when([sold(2)]).then_error("of generation 2");
    }
}
