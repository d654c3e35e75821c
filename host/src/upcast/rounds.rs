//! One batch of stored events becomes one of upcast events, in rounds: in each, every upcaster is asked once about all
//! that is in one of its shapes by then. No shape comes again on its way, so the rounds end.

use super::chain::{Chain, Link};
use super::{UpcastEvent, UpcastFailure, UpcastLimits, Upcaster, UpcasterCode, Upcasters};
use crate::code::CallFailure;
use crate::event::{EventBatch, EventKind, EventRef, Invalid, UNREADABLE, check_name, check_payload};

/// What all that was upcast in one batch may take.
const MAX_BATCH_BYTES: usize = 1 << 30;

/// What stands in the place of one stored event.
struct Place {
    /// Of the stored event in its batch.
    index: usize,
    pieces: Vec<UpcastEvent>,
    /// Why it cannot be upcast.
    failed: Option<String>,
}

impl Place {
    fn bytes(&self) -> usize {
        self.pieces.iter().map(|piece| piece.data.len() + piece.metadata.len()).sum()
    }
}

/// Something that an upcaster is asked about: which piece of which place.
type Due = Vec<(usize, usize)>;

/// What came of one event: what stands in its place, or why nothing can.
type Verdict = Result<Vec<UpcastEvent>, String>;

impl Upcasters {
    /// The events in their newest shapes; those that cannot be upcast stay, marked as [`UNREADABLE`]. None when all
    /// events are in their newest shapes already. Blocks while the upcasters work.
    ///
    /// # Errors
    /// [`UpcastFailure::Unavailable`].
    pub fn upcast_readable(&self, stored: &EventBatch) -> Result<Option<EventBatch>, UpcastFailure> {
        let chain = &*self.chain;
        let mut places = chain.places(stored);
        if places.is_empty() {
            return Ok(None);
        }
        let mut was_due = true;
        while std::mem::take(&mut was_due) {
            for code in 0..chain.codes.len() {
                let due = chain.due(code, &places);
                if !due.is_empty() {
                    was_due = true;
                    let verdicts = chain.ask(code, &batch(stored, &places, &due))?;
                    chain.replace(&mut places, &due, verdicts);
                    if places.iter().map(Place::bytes).sum::<usize>() > MAX_BATCH_BYTES {
                        let reason =
                            format!("{} events become too many bytes together: lower batch_events", stored.len());
                        return Err(UpcastFailure::Unavailable(reason));
                    }
                }
            }
        }
        Ok(Some(assemble(stored, &places)))
    }
}

impl Chain {
    /// The events that are in a shape that somebody takes.
    fn places(&self, stored: &EventBatch) -> Vec<Place> {
        let taken: Vec<bool> =
            stored.kind_table.iter().map(|kind| self.sources.contains_key(&kind.event_type)).collect();
        if !taken.contains(&true) {
            return Vec::new();
        }
        let takes = |index: &usize| {
            let kind = stored.kinds[*index] as usize;
            let link = || self.link(&stored.kind_table[kind].event_type, stored.schema_versions[*index]);
            taken[kind] && link().is_some()
        };
        let place = |index| Place { index, pieces: vec![UpcastEvent::of(&stored.get(index))], failed: None };
        (0..stored.len()).filter(takes).map(place).collect()
    }

    fn link_of(&self, event: &UpcastEvent) -> Option<&Link> {
        self.link(&event.event_type, event.schema_version)
    }

    /// All that this upcaster takes.
    fn due(&self, code: usize, places: &[Place]) -> Due {
        let due = places.iter().enumerate().flat_map(|(number, place)| {
            let is_due = move |piece: &UpcastEvent| self.link_of(piece).is_some_and(|link| link.code == code);
            let pieces = if place.failed.is_some() { &[][..] } else { &place.pieces };
            pieces.iter().enumerate().filter(move |(_, piece)| is_due(piece)).map(move |(piece, _)| (number, piece))
        });
        due.collect()
    }

    /// A verdict for each of the events.
    fn ask(&self, code: usize, events: &EventBatch) -> Result<Vec<Verdict>, UpcastFailure> {
        let code = &*self.codes[code];
        let lists = match code.instantiate().and_then(|mut instance| instance.upcast(events)) {
            Ok(lists) => lists.into_iter().map(Ok).collect(),
            Err(_) => ask_about_each(code, events)?,
        };
        let checked = events.iter().zip(lists).map(|(event, verdict)| {
            let verdict = verdict.and_then(|answer| self.check(&event, answer).map_err(|error| error.0));
            verdict.map_err(|reason| {
                let EventRef { position, stream, kind, schema_version, .. } = event;
                format!(
                    "the upcaster {} ({}) cannot upcast {} of schema version {schema_version} at position {position} of \
                     stream {stream}: {reason}; put an upcaster that can into the plugin folder",
                    code.name(),
                    code.digest().short(),
                    kind.event_type
                )
            })
        });
        Ok(checked.collect())
    }

    /// Whether an answer is what the upcaster's description allows, and what may be an event at all.
    fn check(&self, event: &EventRef<'_>, answer: Vec<UpcastEvent>) -> Result<Vec<UpcastEvent>, Invalid> {
        if answer.is_empty() {
            return Err(Invalid("it answered no event".into()));
        }
        let becomes = self.link(&event.kind.event_type, event.schema_version).map(|link| &link.source.becomes);
        for piece in &answer {
            let UpcastEvent { event_type, schema_version, content_type, data, metadata } = piece;
            let declared =
                |shapes: &&Vec<_>| shapes.iter().any(|shape: &super::EventShape| shape.is(event_type, *schema_version));
            if becomes.filter(declared).is_none() {
                let answered = format!("it answered {event_type:?} of schema version {schema_version}");
                return Err(Invalid(format!("{answered}, which its description does not say")));
            }
            let sound =
                check_name("content type", content_type).and_then(|()| check_payload(content_type, data, metadata));
            sound.map_err(|error| Invalid(format!("it answered {event_type} that cannot be: {error}")))?;
        }
        Ok(answer)
    }

    /// Puts answers in the places of what was asked about.
    fn replace(&self, places: &mut [Place], due: &Due, verdicts: Vec<Verdict>) {
        // From behind, so that the pieces before stay where they are.
        for ((place, piece), verdict) in due.iter().zip(verdicts).rev() {
            let place = &mut places[*place];
            match verdict {
                Ok(answer) => drop(place.pieces.splice(piece..=piece, answer)),
                Err(reason) => place.failed = Some(reason),
            }
            let UpcastLimits { max_events, max_bytes } = self.limits;
            if place.failed.is_none() && (place.pieces.len() > max_events || place.bytes() > max_bytes) {
                let limits = format!("max_upcast_events, {max_events}, or max_upcast_bytes, {max_bytes}");
                place.failed = Some(format!("upcasting makes more of it than {limits}, allow"));
            }
        }
    }
}

/// Each event alone, under a limit that is the same on every machine: a verdict on one says nothing about another.
fn ask_about_each(code: &dyn UpcasterCode, events: &EventBatch) -> Result<Vec<Verdict>, UpcastFailure> {
    let mut instance: Option<Box<dyn Upcaster>> = None;
    let mut ask = |event: &EventBatch| {
        let asked = match &mut instance {
            Some(instance) => instance,
            empty => empty.insert(code.instantiate_metered()?),
        };
        asked.upcast(event).inspect_err(|_| instance = None)
    };
    let mut alone = EventBatch { kind_table: events.kind_table.clone(), ..EventBatch::default() };
    let verdicts = (0..events.len()).map(|index| {
        let kinds = std::mem::take(&mut alone.kind_table);
        alone.clear();
        alone.kind_table = kinds;
        alone.push_range(events, index..index + 1);
        match ask(&alone) {
            Ok(mut lists) => Ok(Ok(lists.pop().unwrap_or_default())),
            Err(CallFailure::Interrupted(reason)) => {
                Err(UpcastFailure::Unavailable(format!("the upcaster {}: {reason}", code.name())))
            }
            Err(failure) => Ok(Err(failure.to_string())),
        }
    });
    verdicts.collect()
}

/// The pieces that are asked about, as events that have the places of the stored ones.
fn batch(stored: &EventBatch, places: &[Place], due: &Due) -> EventBatch {
    let mut batch = EventBatch::default();
    for (place, piece) in due {
        let place = &places[*place];
        push(&mut batch, stored.get(place.index), &place.pieces[*piece]);
    }
    batch
}

fn push(batch: &mut EventBatch, stored: EventRef<'_>, piece: &UpcastEvent) {
    let kind = EventKind {
        category: stored.kind.category.clone(),
        event_type: piece.event_type.clone(),
        content_type: piece.content_type.clone(),
    };
    let index = batch.kind_index(&kind);
    let UpcastEvent { schema_version, data, metadata, .. } = piece;
    batch.push(EventRef { kind: &kind, schema_version: *schema_version, data, metadata, ..stored }, index);
}

/// The stored events, with what stands in the places of some.
fn assemble(stored: &EventBatch, places: &[Place]) -> EventBatch {
    let mut upcast = EventBatch { kind_table: stored.kind_table.clone(), ..EventBatch::default() };
    let mut next = 0;
    for place in places {
        upcast.push_range(stored, next..place.index);
        next = place.index + 1;
        let event = stored.get(place.index);
        match &place.failed {
            None => place.pieces.iter().for_each(|piece| push(&mut upcast, event, piece)),
            Some(reason) => {
                let content_type = UNREADABLE.into();
                let marked = UpcastEvent { content_type, data: reason.clone().into_bytes(), ..UpcastEvent::of(&event) };
                push(&mut upcast, event, &marked);
            }
        }
    }
    upcast.push_range(stored, next..stored.len());
    upcast
}
