//! Upcasters in plain Rust, for tests.

use std::sync::Arc;

use super::{EventShape, UpcastEvent, Upcaster, UpcasterCode, UpcasterDescription, UpcasterSource};
use crate::code::{CallFailure, ComponentDigest, PluginCode, PluginName};
use crate::event::{EventBatch, EventRef};

/// What it answers to one event.
pub type Answer = fn(&EventRef<'_>) -> Result<Vec<UpcastEvent>, CallFailure>;

#[derive(Clone)]
pub struct Plain {
    pub description: UpcasterDescription,
    pub digest: ComponentDigest,
    pub timed: Answer,
    pub metered: Answer,
}

impl Plain {
    /// With sources written as in `Placed 1 > Placed 2, Paid 1`.
    pub fn new(name: &str, sources: &[&str], answer: Answer) -> Self {
        let shape = |text: &str| {
            let (event_type, version) = text.trim().split_once(' ').expect("a type and a version");
            EventShape { event_type: event_type.into(), schema_version: version.parse().expect("a number") }
        };
        let source = |text: &&str| {
            let (from, to) = text.split_once('>').expect("what it becomes");
            UpcasterSource { shape: shape(from), becomes: to.split(',').map(shape).collect() }
        };
        let description =
            UpcasterDescription { name: name.parse().expect("a name"), sources: sources.iter().map(source).collect() };
        Self { description, digest: ComponentDigest(format!("{name}-digest")), timed: answer, metered: answer }
    }

    pub fn digest(self, digest: &str) -> Self {
        Self { digest: ComponentDigest(digest.into()), ..self }
    }

    pub fn code(self) -> Arc<dyn UpcasterCode> {
        Arc::new(self)
    }
}

/// The event in another shape, otherwise as it was.
pub fn as_shape(event: &EventRef<'_>, event_type: &str, schema_version: u32) -> UpcastEvent {
    UpcastEvent { event_type: event_type.into(), schema_version, ..UpcastEvent::of(event) }
}

impl PluginCode for Plain {
    fn name(&self) -> &PluginName {
        &self.description.name
    }

    fn digest(&self) -> &ComponentDigest {
        &self.digest
    }

    fn claims(&self) -> Vec<String> {
        self.description.sources.iter().map(|source| source.shape.to_string()).collect()
    }
}

impl UpcasterCode for Plain {
    fn description(&self) -> &UpcasterDescription {
        &self.description
    }

    fn instantiate(&self) -> Result<Box<dyn Upcaster>, CallFailure> {
        Ok(Box::new(Instance(self.timed)))
    }

    fn instantiate_metered(&self) -> Result<Box<dyn Upcaster>, CallFailure> {
        Ok(Box::new(Instance(self.metered)))
    }
}

struct Instance(Answer);

impl Upcaster for Instance {
    fn upcast(&mut self, events: &EventBatch) -> Result<Vec<Vec<UpcastEvent>>, CallFailure> {
        events.iter().map(|event| (self.0)(&event)).collect()
    }
}
