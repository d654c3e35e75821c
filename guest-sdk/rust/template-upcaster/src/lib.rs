//! Deposits of the past as they are told today: whole euros become cents of a currency.

use lantern_sdk::prelude::*;

/// An event type and a schema version; 1 is what an event has that says none.
const FIRST: Shape = Shape("Deposited", 1);
const SECOND: Shape = Shape("Deposited", 2);

#[derive(Deserialize)]
struct FirstDeposited {
    euros: i64,
}

#[derive(Serialize)]
struct SecondDeposited {
    amount: i64,
    currency: String,
}

struct Deposits;

impl Upcaster for Deposits {
    const NAME: &str = "{{name}}";
    /// A shape has one upcaster. What this one answers is upcast in turn, so each step may be small.
    const SOURCES: &[Source] = &[Source { shape: FIRST, becomes: &[SECOND] }];

    fn upcast(event: Recorded<Payload>) -> Result<Vec<Newer>, Error> {
        let FirstDeposited { euros } = event.data.read()?;
        let Some(amount) = euros.checked_mul(100) else { bail!("{euros} euros are too many") };
        Ok(vec![Newer::new(SECOND, &SecondDeposited { amount, currency: "EUR".into() })?])
    }
}

export_upcaster!(Deposits);

#[cfg(test)]
mod tests {
    use lantern_sdk::testing::{Json, TestEvent, event, json, upcast};

    use super::*;

    /// Schema version and data of what becomes of a deposit.
    fn newest(schema_version: u32, data: Json) -> Result<Vec<(u32, String)>, String> {
        let events = upcast::<Deposits>(TestEvent { schema_version, ..event("account-1", "Deposited", data) })?;
        let told = |event: TestEvent| (event.schema_version, String::from_utf8(event.data).expect("JSON is text"));
        Ok(events.into_iter().map(told).collect())
    }

    #[test]
    fn euros_become_cents() {
        let second = json!({ "amount": 500, "currency": "EUR" });
        assert_eq!(newest(1, json!({ "euros": 5 })), Ok(vec![(2, second.to_string())]));
        assert_eq!(newest(2, second.clone()), Ok(vec![(2, second.to_string())]));
    }

    #[test]
    fn what_is_no_deposit_is_refused() {
        assert!(newest(1, json!({})).expect_err("no euros").contains("euros"));
        assert!(newest(1, json!({ "euros": i64::MAX })).expect_err("too many").contains("too many"));
    }
}
