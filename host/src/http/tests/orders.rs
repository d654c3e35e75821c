//! An aggregate in plain Rust: an order is a count of events, and is paid once.

use crate::aggregate::{Aggregate, AggregateCode, AggregateDescription, Command, DecidedEvent, Decision};
use crate::code::{CallFailure, ComponentDigest, PluginCode, PluginName};
use crate::event::{EventBatch, JSON};

pub(super) struct Orders {
    description: AggregateDescription,
    digest: ComponentDigest,
}

impl Default for Orders {
    fn default() -> Self {
        let name = "orders".parse().expect("a name");
        let description = AggregateDescription { name, category: "order".into(), state_schema_version: 2 };
        Self { description, digest: ComponentDigest("0rder".into()) }
    }
}

impl PluginCode for Orders {
    fn name(&self) -> &PluginName {
        &self.description.name
    }

    fn digest(&self) -> &ComponentDigest {
        &self.digest
    }

    fn claims(&self) -> Vec<String> {
        Vec::new()
    }
}

impl AggregateCode for Orders {
    fn description(&self) -> &AggregateDescription {
        &self.description
    }

    fn instantiate(&self) -> Result<Box<dyn Aggregate>, CallFailure> {
        Ok(Box::new(Order))
    }
}

struct Order;

impl Aggregate for Order {
    fn evolve(&mut self, state: Option<&str>, events: &EventBatch) -> Result<String, CallFailure> {
        let mut state: (u64, bool) = state.map_or((0, false), |state| serde_json::from_str(state).expect("its own"));
        for event in events.iter() {
            state = (state.0 + 1, state.1 || event.kind.event_type == "Paid");
        }
        Ok(serde_json::to_string(&state).expect("numbers"))
    }

    fn handle(&mut self, state: Option<&str>, command: &Command) -> Result<Decision, CallFailure> {
        match command.command_type.as_str() {
            "Pay" if state.is_some_and(|state| state.contains("true")) => Ok(Decision::Reject("it is paid".into())),
            "Pay" => Ok(Decision::Append(vec![DecidedEvent {
                event_type: "Paid".into(),
                schema_version: 1,
                content_type: JSON.into(),
                data: command.data.clone().into_bytes(),
                metadata: command.metadata.clone(),
            }])),
            "Look" => Ok(Decision::Append(Vec::new())),
            _ => Err(CallFailure::Interrupted("a call took longer than 1 s".into())),
        }
    }
}
