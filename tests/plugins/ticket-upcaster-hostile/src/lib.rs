//! As the ticket upcaster, but for seats that have it do harm.

use lantern_sdk::prelude::*;
use serde_json::{Value, json};

struct Hostile;

const SECOND: Shape = Shape("TicketSold", 2);
const THIRD: Shape = Shape("TicketSold", 3);
const PAYMENT: Shape = Shape("PaymentRequested", 1);

impl Upcaster for Hostile {
    const NAME: &str = "ticket-upcaster";
    const SOURCES: &[Source] = &[
        Source { shape: Shape("TicketSold", 1), becomes: &[SECOND] },
        Source { shape: SECOND, becomes: &[THIRD, PAYMENT] },
    ];

    fn upcast(event: Recorded<Payload>) -> Result<Vec<Newer>, Error> {
        let mut data: Value = event.data.read()?;
        match data["seat"].as_str() {
            Some("trap") => panic!("somebody sits there"),
            Some("loop") => loop {
                std::hint::black_box(());
            },
            Some("lie") => Ok(vec![Newer::new(Shape("TicketSold", 9), &data)?]),
            Some("nothing") => Ok(vec![]),
            _ if event.schema_version == 1 => {
                let cents: i64 = data["price"].as_str().unwrap_or_default().replace('.', "").parse()?;
                data["cents"] = json!(cents);
                data["currency"] = json!("EUR");
                Ok(vec![Newer::new(SECOND, &data)?])
            }
            _ => Ok(vec![Newer::new(THIRD, &json!({}))?, Newer::new(PAYMENT, &data)?]),
        }
    }
}

export_upcaster!(Hostile);
