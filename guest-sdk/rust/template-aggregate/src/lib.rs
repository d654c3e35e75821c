//! An account: it is opened, renamed and closed, in this order.

use lantern_sdk::prelude::*;

/// What the commands need to know of an account. It is kept as JSON, so everything has to be in here.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Account {
    is_open: bool,
    name: String,
}

#[derive(Serialize, Deserialize)]
enum Event {
    Opened {},
    Renamed { name: String },
    Closed {},
}

#[derive(Deserialize)]
enum Command {
    Open {},
    Rename { name: String },
    Close {},
}

struct Accounts;

impl Aggregate for Accounts {
    const NAME: &str = "{{name}}";
    /// The part of a stream's name before its first dash: each stream is one account.
    const CATEGORY: &str = "account";
    /// Raise it when the state means something else than before.
    const STATE_SCHEMA_VERSION: u32 = 1;
    type State = Account;
    type Event = Event;
    type Command = Command;

    fn evolve(account: &mut Account, event: Recorded<Event>) -> Result<(), Error> {
        match event.data {
            Event::Opened {} => account.is_open = true,
            Event::Renamed { name } => account.name = name,
            Event::Closed {} => account.is_open = false,
        }
        Ok(())
    }

    /// The events that the command leads to, none if it changes nothing, or why it is refused.
    fn handle(account: &Account, command: Received<Command>) -> Result<Vec<Event>, Error> {
        match command.data {
            Command::Open {} => {
                ensure!(!account.is_open, "the account is open already");
                Ok(vec![Event::Opened {}])
            }
            Command::Rename { name } => {
                ensure!(account.is_open, "the account is not open");
                ensure!(!name.is_empty(), "an account has no name");
                Ok(if name == account.name { vec![] } else { vec![Event::Renamed { name }] })
            }
            Command::Close {} => {
                ensure!(account.is_open, "the account is not open");
                Ok(vec![Event::Closed {}])
            }
        }
    }
}

export_aggregate!(Accounts);

#[cfg(test)]
mod tests {
    use lantern_sdk::testing::{AggregateSpec, Json, json};

    use super::*;

    fn given(events: impl IntoIterator<Item = (&'static str, Json)>) -> AggregateSpec<Accounts> {
        AggregateSpec::given(events)
    }

    fn opened() -> (&'static str, Json) {
        ("Opened", json!({}))
    }

    #[test]
    fn an_open_account_is_renamed() {
        let (rename, renamed) = (("Rename", json!({ "name": "Ann" })), ("Renamed", json!({ "name": "Ann" })));
        given([opened()])
            .when(rename.clone())
            .then_events([renamed.clone()])
            .then_state(&Account { is_open: true, name: "Ann".into() });
        given([opened(), renamed]).when(rename).then_events([]);
    }

    #[test]
    fn what_is_not_open_is_not_closed() {
        given([]).when(("Close", json!({}))).then_rejected("not open");
        given([opened(), ("Closed", json!({}))]).when(("Close", json!({}))).then_rejected("not open");
    }

    #[test]
    fn an_account_is_opened_once() {
        given([opened()]).when(("Open", json!({}))).then_rejected("open already");
    }
}
