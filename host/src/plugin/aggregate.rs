//! A component of the world `aggregate` as an [`Aggregate`].

use std::time::Duration;

use wasmtime::Store;
use wasmtime::component::InstancePre;

use super::bindings::aggregate as wit;
use super::bindings::owned::lantern::plugin::events::NewEvent;
use super::code::{Code, GuestWorld};
use super::description::{check_categories, check_plugin_name};
use super::error::Problem;
use super::guest::{Guest, State};
use super::guest_events::{data_bytes, into_guest};
use super::log::printable;
use crate::aggregate::{Aggregate, AggregateCode, AggregateDescription, Command, DecidedEvent, Decision};
use crate::code::{CallFailure, ComponentDigest, PluginCode, PluginName};
use crate::event::EventBatch;

impl GuestWorld for wit::Aggregate {
    type Template = wit::AggregatePre<State>;
    type Description = AggregateDescription;

    fn template(prepared: InstancePre<State>) -> wasmtime::Result<Self::Template> {
        wit::AggregatePre::new(prepared)
    }

    fn instantiate(template: &Self::Template, store: &mut Store<State>) -> wasmtime::Result<Self> {
        template.instantiate(store)
    }

    fn describe(&self, store: &mut Store<State>) -> wasmtime::Result<Result<AggregateDescription, Problem>> {
        let wit::AggregateDescription { name, category, state_schema_version } = self.call_describe(store)?;
        Ok(check_plugin_name(&name).and_then(|name| {
            check_categories(std::slice::from_ref(&category))?;
            Ok(AggregateDescription { name, category, state_schema_version })
        }))
    }

    fn name(description: &AggregateDescription) -> &PluginName {
        &description.name
    }
}

impl PluginCode for Code<wit::Aggregate> {
    fn name(&self) -> &PluginName {
        &self.description.name
    }

    fn digest(&self) -> &ComponentDigest {
        self.digest()
    }

    fn claims(&self) -> Vec<String> {
        vec![format!("the aggregates of category {}", self.description.category)]
    }
}

impl AggregateCode for Code<wit::Aggregate> {
    fn description(&self) -> &AggregateDescription {
        &self.description
    }

    fn instantiate(&self) -> Result<Box<dyn Aggregate>, CallFailure> {
        let time = Duration::from_millis(self.host.options.aggregate_ms);
        Ok(Box::new(self.timed_for(time)?))
    }
}

impl Aggregate for Guest<wit::Aggregate> {
    fn evolve(&mut self, state: Option<&str>, events: &EventBatch) -> Result<String, CallFailure> {
        let events = into_guest(events)?;
        self.call_alone(events.len(), |guest, store| guest.call_evolve(store, state, &events))
    }

    fn handle(&mut self, state: Option<&str>, command: &Command) -> Result<Decision, CallFailure> {
        let command = wit::Command {
            id: command.id.to_string(),
            command_type: command.command_type.clone(),
            data: command.data.clone(),
            metadata: command.metadata.clone(),
            time: command.time.0,
        };
        match self.call_alone(1, |guest, store| guest.call_handle(store, state, &command))? {
            wit::Decision::Append(events) => {
                events.into_iter().map(decided).collect::<Result<_, _>>().map(Decision::Append)
            }
            wit::Decision::Reject(reason) => Ok(Decision::Reject(printable(&reason))),
        }
    }
}

fn decided(event: NewEvent) -> Result<DecidedEvent, CallFailure> {
    Ok(DecidedEvent {
        data: data_bytes(&event.content_type, event.data)?,
        event_type: event.event_type,
        schema_version: event.schema_version,
        content_type: event.content_type,
        metadata: event.metadata,
    })
}
