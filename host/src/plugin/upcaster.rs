//! A component of the world `upcaster` as an [`Upcaster`].

use wasmtime::Store;
use wasmtime::component::InstancePre;

use super::bindings::upcaster as wit;
use super::code::{Code, GuestWorld};
use super::description::{check_plugin_name, check_sources};
use super::error::Problem;
use super::guest::{Guest, State};
use super::guest_events::{data_bytes, into_guest};
use crate::code::{CallFailure, ComponentDigest, PluginCode, PluginName};
use crate::event::EventBatch;
use crate::upcast::{EventShape, UpcastEvent, Upcaster, UpcasterCode, UpcasterDescription, UpcasterSource};

impl GuestWorld for wit::Upcaster {
    type Template = wit::UpcasterPre<State>;
    type Description = UpcasterDescription;

    fn template(prepared: InstancePre<State>) -> wasmtime::Result<Self::Template> {
        wit::UpcasterPre::new(prepared)
    }

    fn instantiate(template: &Self::Template, store: &mut Store<State>) -> wasmtime::Result<Self> {
        template.instantiate(store)
    }

    fn describe(&self, store: &mut Store<State>) -> wasmtime::Result<Result<UpcasterDescription, Problem>> {
        let wit::UpcasterDescription { name, sources } = self.call_describe(store)?;
        Ok(check_plugin_name(&name).and_then(|name| {
            let shape = |shape: wit::EventShape| EventShape {
                event_type: shape.event_type,
                schema_version: shape.schema_version,
            };
            let source = |source: wit::UpcasterSource| UpcasterSource {
                shape: shape(source.shape),
                becomes: source.becomes.into_iter().map(shape).collect(),
            };
            let sources: Vec<_> = sources.into_iter().map(source).collect();
            check_sources(&sources)?;
            Ok(UpcasterDescription { name, sources })
        }))
    }

    fn name(description: &UpcasterDescription) -> &PluginName {
        &description.name
    }
}

impl PluginCode for Code<wit::Upcaster> {
    fn name(&self) -> &PluginName {
        &self.description.name
    }

    fn digest(&self) -> &ComponentDigest {
        self.digest()
    }

    fn claims(&self) -> Vec<String> {
        let upcasting = |source: &UpcasterSource| format!("the upcasting of {}", source.shape);
        self.description.sources.iter().map(upcasting).collect()
    }
}

impl UpcasterCode for Code<wit::Upcaster> {
    fn description(&self) -> &UpcasterDescription {
        &self.description
    }

    fn instantiate(&self) -> Result<Box<dyn Upcaster>, CallFailure> {
        Ok(Box::new(self.timed()?))
    }

    fn instantiate_metered(&self) -> Result<Box<dyn Upcaster>, CallFailure> {
        Ok(Box::new(self.metered()?))
    }
}

impl Upcaster for Guest<wit::Upcaster> {
    fn upcast(&mut self, events: &EventBatch) -> Result<Vec<Vec<UpcastEvent>>, CallFailure> {
        let given = into_guest(events)?;
        let lists = self.call_alone(given.len(), |guest, store| guest.call_upcast(store, &given))?;
        if lists.len() != given.len() {
            let reason = format!("it answered {} lists for {} events", lists.len(), given.len());
            return Err(CallFailure::Rejected(reason));
        }
        lists.into_iter().map(|list| list.into_iter().map(upcast_event).collect()).collect()
    }
}

fn upcast_event(event: wit::Event) -> Result<UpcastEvent, CallFailure> {
    Ok(UpcastEvent {
        data: data_bytes(&event.content_type, event.data)?,
        event_type: event.event_type,
        schema_version: event.schema_version,
        content_type: event.content_type,
        metadata: event.metadata,
    })
}
