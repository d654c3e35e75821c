//! Upcasters together: what one answers is taken by the next, until nobody takes it.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::{EventShape, UpcasterCode, UpcasterSource};
use crate::code::CodeIdentity;
use crate::event::{EventBatch, EventRef, Interest, Position};

/// What may stand in the place of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpcastLimits {
    pub max_events: usize,
    /// Data and metadata of all of them together.
    pub max_bytes: usize,
}

impl Default for UpcastLimits {
    fn default() -> Self {
        Self { max_events: 100, max_bytes: 2 << 20 }
    }
}

/// Upcasters whose answers would be upcast for ever.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("upcasting would never end: {shape} would be upcast until it is {last}, which becomes {shape} again")]
pub struct Circle {
    shape: EventShape,
    last: EventShape,
}

/// Why events cannot be shown in their newest shapes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpcastFailure {
    /// So it stays until another upcaster comes.
    #[error("{reason}")]
    Unreadable { position: Position, reason: String },
    /// It may pass.
    #[error("events could not be upcast for now: {0}")]
    Unavailable(String),
}

/// Upcasters that work together. A cheap handle on what never changes; by default there are none.
#[derive(Clone, Default)]
pub struct Upcasters {
    pub(super) chain: Arc<Chain>,
}

#[derive(Default)]
pub(super) struct Chain {
    /// By name.
    pub codes: Vec<Arc<dyn UpcasterCode>>,
    /// By event type.
    pub sources: BTreeMap<String, Vec<Link>>,
    pub limits: UpcastLimits,
}

/// One source of one upcaster.
pub(super) struct Link {
    pub source: UpcasterSource,
    /// Whose source it is, by its place in the list of codes.
    pub code: usize,
    leads: Leads,
}

/// Where upcasting leads from a source on.
#[derive(Clone, Default)]
struct Leads {
    /// Its own event type, and those of all that it becomes on the way.
    event_types: BTreeSet<String>,
    /// Everyone who has a hand in it.
    codes: BTreeSet<usize>,
}

impl Upcasters {
    /// # Errors
    /// When answers would be upcast for ever.
    pub fn new(mut codes: Vec<Arc<dyn UpcasterCode>>, limits: UpcastLimits) -> Result<Self, Circle> {
        codes.sort_by(|a, b| a.name().cmp(b.name()));
        let all: BTreeMap<&EventShape, (usize, &UpcasterSource)> = codes
            .iter()
            .enumerate()
            .flat_map(|(place, code)| {
                code.description().sources.iter().map(move |source| (&source.shape, (place, source)))
            })
            .collect();
        let mut sources: BTreeMap<String, Vec<Link>> = BTreeMap::new();
        for (shape, (code, source)) in &all {
            let leads = follow(shape, &all)?;
            let links = sources.entry(shape.event_type.clone()).or_default();
            links.push(Link { source: (*source).clone(), code: *code, leads });
        }
        Ok(Self { chain: Arc::new(Chain { sources, codes, limits }) })
    }

    pub fn is_empty(&self) -> bool {
        self.chain.codes.is_empty()
    }

    /// What is made with these upcasters is to be made again when this changes. By name.
    pub fn identity(&self) -> Vec<CodeIdentity> {
        let identity =
            |code: &Arc<dyn UpcasterCode>| CodeIdentity { name: code.name().clone(), digest: code.digest().clone() };
        self.chain.codes.iter().map(identity).collect()
    }

    /// The same number for the same identity, and for no other that exists at the same time.
    pub fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.identity().hash(&mut hasher);
        hasher.finish()
    }

    /// Those that matter to whoever has these interests: they take an event type of interest, or turn something into
    /// it, directly or with others.
    pub fn touching(&self, interests: &[Interest]) -> Self {
        let links = self.chain.sources.values().flatten();
        let touching = links.filter(|link| interests.iter().any(|interest| link.leads.to(interest)));
        let places: BTreeSet<usize> = touching.flat_map(|link| &link.leads.codes).copied().collect();
        let codes = places.iter().map(|place| Arc::clone(&self.chain.codes[*place])).collect();
        Self::new(codes, self.chain.limits).unwrap_or_default()
    }

    /// What has to be read of the log by whoever has these interests in upcast events.
    pub fn stored_interests(&self, interests: &[Interest]) -> Vec<Interest> {
        let stored = |interest: &Interest| {
            let mut stored = interest.clone();
            if !stored.event_types.is_empty() {
                let leading =
                    self.chain.sources.iter().filter(|(_, links)| links.iter().any(|link| link.leads.to(interest)));
                stored.event_types.extend(leading.map(|(event_type, _)| event_type.clone()));
                stored.event_types.sort();
                stored.event_types.dedup();
            }
            stored
        };
        interests.iter().map(stored).collect()
    }

    /// Whether a stored event of this shape, or anything that it becomes, is of interest.
    pub fn touch(&self, interest: &Interest, category: &str, event_type: &str, schema_version: u32) -> bool {
        match self.chain.link(event_type, schema_version) {
            None => interest.matches(category, event_type),
            Some(link) => link.leads.event_types.iter().any(|event_type| interest.matches(category, event_type)),
        }
    }

    /// The events in their newest shapes: for guests that decide on them. Blocks while the upcasters work.
    ///
    /// # Errors
    /// At the first event that cannot be upcast.
    pub fn upcast(&self, batch: EventBatch) -> Result<EventBatch, UpcastFailure> {
        let upcast = self.upcast_readable(&batch)?.unwrap_or(batch);
        let unreadable = upcast.iter().find(EventRef::is_unreadable).map(|event| UpcastFailure::Unreadable {
            position: event.position,
            reason: String::from_utf8_lossy(event.data).into_owned(),
        });
        unreadable.map_or(Ok(upcast), Err)
    }
}

impl Chain {
    /// Who takes this shape.
    pub fn link(&self, event_type: &str, schema_version: u32) -> Option<&Link> {
        self.sources.get(event_type)?.iter().find(|link| link.source.shape.schema_version == schema_version)
    }
}

impl Leads {
    fn to(&self, interest: &Interest) -> bool {
        interest.event_types.is_empty() || interest.event_types.iter().any(|wanted| self.event_types.contains(wanted))
    }
}

/// Where upcasting leads from a source on.
fn follow(from: &EventShape, all: &BTreeMap<&EventShape, (usize, &UpcasterSource)>) -> Result<Leads, Circle> {
    let mut leads = Leads::default();
    let (mut seen, mut ahead) = (BTreeSet::new(), vec![from]);
    while let Some(shape) = ahead.pop() {
        leads.event_types.insert(shape.event_type.clone());
        let Some((code, source)) = all.get(shape) else { continue };
        leads.codes.insert(*code);
        if source.becomes.contains(from) {
            return Err(Circle { shape: from.clone(), last: shape.clone() });
        }
        ahead.extend(source.becomes.iter().filter(|next| seen.insert(*next)));
    }
    Ok(leads)
}
