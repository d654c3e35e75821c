//! A component of the world `conflict-resolver` as a [`ConflictResolver`].

use std::time::Duration;

use wasmtime::Store;
use wasmtime::component::InstancePre;

use super::bindings::conflict_resolver as wit;
use super::code::{Code, GuestWorld};
use super::description::{check_categories, check_plugin_name};
use super::error::Problem;
use super::guest::{Guest, State, shortened};
use super::guest_events::{into_guest, proposed_by_guest, proposed_into_guest};
use crate::code::{CallFailure, ComponentDigest, PluginCode, PluginName};
use crate::conflict::{Conflict, ConflictResolver, ConflictResolverCode, Resolution, ResolverDescription};

impl GuestWorld for wit::ConflictResolver {
    type Template = wit::ConflictResolverPre<State>;
    type Description = ResolverDescription;

    fn template(prepared: InstancePre<State>) -> wasmtime::Result<Self::Template> {
        wit::ConflictResolverPre::new(prepared)
    }

    fn instantiate(template: &Self::Template, store: &mut Store<State>) -> wasmtime::Result<Self> {
        template.instantiate(store)
    }

    fn describe(&self, store: &mut Store<State>) -> wasmtime::Result<Result<ResolverDescription, Problem>> {
        let wit::ConflictResolverDescription { name, categories } = self.call_describe(store)?;
        Ok(check_plugin_name(&name).and_then(|name| {
            check_categories(&categories)?;
            Ok(ResolverDescription { name, categories })
        }))
    }

    fn name(description: &ResolverDescription) -> &PluginName {
        &description.name
    }
}

impl PluginCode for Code<wit::ConflictResolver> {
    fn name(&self) -> &PluginName {
        &self.description.name
    }

    fn digest(&self) -> &ComponentDigest {
        self.digest()
    }

    fn claims(&self) -> Vec<String> {
        let conflicts = |category| format!("the conflicts of category {category}");
        self.description.categories.iter().map(conflicts).collect()
    }
}

impl ConflictResolverCode for Code<wit::ConflictResolver> {
    fn description(&self) -> &ResolverDescription {
        &self.description
    }

    fn instantiate(&self) -> Result<Box<dyn ConflictResolver>, CallFailure> {
        let time = Duration::from_millis(self.host.options.resolve_ms);
        Ok(Box::new(self.timed_for(time)?))
    }
}

impl ConflictResolver for Guest<wit::ConflictResolver> {
    fn resolve(&mut self, conflict: &Conflict) -> Result<Resolution, CallFailure> {
        let events = conflict.unseen.len() + conflict.proposed.len();
        let conflict = wit::Conflict {
            stream: conflict.stream.to_string(),
            expected: conflict.expected.0,
            actual: conflict.actual.0,
            unseen: into_guest(&conflict.unseen)?,
            proposed: conflict.proposed.iter().map(proposed_into_guest).collect(),
        };
        match self.call_alone(events, |guest, store| guest.call_resolve(store, &conflict))? {
            wit::Resolution::Accept => Ok(Resolution::Accept),
            wit::Resolution::Rewrite(events) => {
                events.into_iter().map(proposed_by_guest).collect::<Result<_, _>>().map(Resolution::Rewrite)
            }
            wit::Resolution::Reject(reason) => Ok(Resolution::Reject(shortened(reason))),
        }
    }
}
