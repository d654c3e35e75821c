//! Tickets sold in the past, as they would be told today: three generations of one event.

use lantern_sdk::prelude::*;
use serde_json::json;

/// The first shape: the price is a decimal number as text, always in euros.
#[derive(Deserialize)]
struct FirstTicketSold {
    seat: String,
    price: String,
}

/// The second shape: the price is in cents of a currency.
#[derive(Deserialize)]
struct SecondTicketSold {
    seat: String,
    cents: i64,
    currency: String,
}

const FIRST: Shape = Shape("TicketSold", 1);
const SECOND: Shape = Shape("TicketSold", 2);
/// Now the sale and the money are two events.
const THIRD: Shape = Shape("TicketSold", 3);
const PAYMENT: Shape = Shape("PaymentRequested", 1);

struct TicketUpcaster;

impl Upcaster for TicketUpcaster {
    const NAME: &str = "ticket-upcaster";
    const SOURCES: &[Source] =
        &[Source { shape: FIRST, becomes: &[SECOND] }, Source { shape: SECOND, becomes: &[THIRD, PAYMENT] }];

    fn upcast(event: Recorded<Payload>) -> Result<Vec<Newer>, Error> {
        if event.schema_version == 1 {
            let FirstTicketSold { seat, price } = event.data.read()?;
            let cents = cents(&price)?;
            return Ok(vec![Newer::new(SECOND, &json!({ "seat": seat, "cents": cents, "currency": "EUR" }))?]);
        }
        let SecondTicketSold { seat, cents, currency } = event.data.read()?;
        Ok(vec![
            Newer::new(THIRD, &json!({ "seat": seat }))?,
            Newer::new(PAYMENT, &json!({ "seat": seat, "cents": cents, "currency": currency }))?,
        ])
    }
}

/// Cents of a price such as `12.5`, without the detour over a float.
fn cents(price: &str) -> Result<i64, Error> {
    let (whole, part) = price.split_once('.').unwrap_or((price, ""));
    let are_digits = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
    ensure!(!whole.is_empty() && part.len() <= 2 && are_digits(whole) && are_digits(part), "{price:?} is no price");
    Ok(format!("{whole}{part:0<2}").parse()?)
}

export_upcaster!(TicketUpcaster);

#[cfg(test)]
mod tests {
    use lantern_sdk::testing::{TestEvent, event, upcast};
    use serde_json::Value;

    use super::*;

    fn sold(schema_version: u32, data: Value) -> TestEvent {
        TestEvent { schema_version, ..event("show-1", "TicketSold", data) }
    }

    /// Type, schema version and data of what the event becomes.
    fn newest(event: TestEvent) -> Result<Vec<(String, u32, Value)>, String> {
        let told = |event: TestEvent| {
            let data = serde_json::from_slice(&event.data).expect("JSON");
            (event.event_type, event.schema_version, data)
        };
        Ok(upcast::<TicketUpcaster>(event)?.into_iter().map(told).collect())
    }

    #[test]
    fn every_generation_becomes_a_sale_and_a_payment() {
        let expected = vec![
            ("TicketSold".to_owned(), 3, json!({ "seat": "A1" })),
            ("PaymentRequested".to_owned(), 1, json!({ "seat": "A1", "cents": 1250, "currency": "EUR" })),
        ];
        assert_eq!(newest(sold(1, json!({ "seat": "A1", "price": "12.5" }))), Ok(expected.clone()));
        let second = json!({ "seat": "A1", "cents": 1250, "currency": "EUR" });
        assert_eq!(newest(sold(2, second)), Ok(expected.clone()));
        assert_eq!(newest(sold(3, json!({ "seat": "A1" }))), Ok(expected[..1].to_vec()));
    }

    #[test]
    fn what_is_no_price_is_refused() {
        for price in ["", "x", ".5", "-1", "1.234", "1.-2", "1,5"] {
            assert!(newest(sold(1, json!({ "seat": "A1", "price": price }))).is_err(), "{price:?}");
        }
        assert!(newest(sold(2, json!({ "seat": "A1" }))).expect_err("no cents").contains("cents"));
    }
}
