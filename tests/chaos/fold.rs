//! What the projection's rows have to be: computed here a second time, in plain code, event by event.

use std::collections::BTreeMap;

use lantern_tests::Rows;
use rusqlite::types::Value as Cell;
use serde_json::Value;

use crate::editions::Edition;

/// The rows after some events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fold {
    /// Balance, entries and the position of the last change, by account.
    accounts: BTreeMap<String, [i64; 3]>,
    /// Events and amount, by type of event.
    totals: BTreeMap<String, [i64; 2]>,
}

impl Fold {
    /// The rows after these events of the log, when each is applied by one edition.
    pub fn apply_all(&mut self, log: &[Value], edition: Edition) {
        log.iter().for_each(|event| self.apply(event, edition));
    }

    fn apply(&mut self, event: &Value, edition: Edition) {
        let text = |field: &str| event[field].as_str().unwrap_or_default();
        let Some(account) = text("stream").strip_prefix("account-") else { return };
        let amount = event["data"]["amount"].as_i64().unwrap_or_default();
        let change = match text("event_type") {
            "Deposited" => edition.credited(amount),
            "Withdrawn" => -amount,
            _ => return,
        };
        let [balance, entries, changed_at] = self.accounts.entry(account.to_owned()).or_default();
        (*balance, *entries) = (*balance + change, *entries + 1);
        *changed_at = event["position"].as_i64().unwrap_or_default();
        let [events, sum] = self.totals.entry(text("event_type").to_owned()).or_default();
        (*events, *sum) = (*events + 1, *sum + change);
    }

    /// What all deposits together added.
    pub fn deposited(&self) -> i64 {
        self.totals.get("Deposited").map_or(0, |[_, amount]| *amount)
    }

    /// In the form of a read model.
    pub fn rows(&self) -> Rows {
        let accounts = self.accounts.iter().map(|(account, numbers)| row(account, numbers));
        let totals = self.totals.iter().map(|(event_type, numbers)| row(event_type, numbers));
        Rows::from([("accounts".to_owned(), accounts.collect()), ("totals".to_owned(), totals.collect())])
    }
}

fn row(key: &str, numbers: &[i64]) -> Vec<Cell> {
    let key = [Cell::Text(key.to_owned())].into_iter();
    key.chain(numbers.iter().map(|number| Cell::Integer(*number))).collect()
}

/// What all deposits together added, in a read model.
pub fn deposited(rows: &Rows) -> i64 {
    let totals = rows.get("totals").into_iter().flatten();
    let amount = totals.filter(|row| row[0] == Cell::Text("Deposited".into())).find_map(|row| match row[2] {
        Cell::Integer(amount) => Some(amount),
        _ => None,
    });
    amount.unwrap_or_default()
}
