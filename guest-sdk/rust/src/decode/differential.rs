//! The decoder of `events!`, and the quick reader for types of serde, against serde_json: the same verdict and the same
//! values.

mod documents;

use std::borrow::Cow;
use std::ops::AddAssign;

use documents::{Kind, Random, damage, object};
use serde::Deserialize;

use super::content::{Content, Quick, Thorough};
use super::quick;
use crate::{EventData, Payload, events};

/// The same enum twice: `Ours` by `events!`, `Theirs` by serde.
macro_rules! twins {
    ($($variant:ident { $($field:ident $kind:tt $type:ty $(, #[$meta:meta])?;)* })*) => {
        events! {
            enum Ours<'a> { $($variant { $($field: $type),* }),* }
        }

        #[derive(Deserialize)]
        enum Theirs<'a> { $($variant { $($(#[$meta])? $field: $type),* }),* }

        impl Ours<'_> {
            fn leaves(self) -> Vec<Leaf> {
                match self { $(Self::$variant { $($field),* } => vec![$(Leaf::from($field)),*]),* }
            }
        }

        impl Theirs<'_> {
            fn leaves(self) -> Vec<Leaf> {
                match self { $(Self::$variant { $($field),* } => vec![$(Leaf::from($field)),*]),* }
            }
        }

        const VARIANTS: &[(&str, &[(&str, Kind)])] =
            &[$((stringify!($variant), &[$((stringify!($field), twins!(@kind $kind))),*])),*];
    };
    (@kind [$kind:ident]) => { Kind::Maybe(&Kind::$kind) };
    (@kind $kind:ident) => { Kind::$kind };
}

twins! {
    Whole { signed Whole i64; unsigned Whole u64; maybe [Whole] Option<i64>; }
    Small { a Small i8; b Small u8; c Small i16; d Small u16; e Small i32; f [Small] Option<u32>; }
    Real { one Real f64; other Real f64; maybe [Real] Option<f64>; flag Flag bool; }
    Borrowed { carrier Plain &'a str; dest Plain &'a str; note [Plain] Option<&'a str>; distance Small i64; }
    Text {
        name Text String;
        title Text Cow<'a, str>, #[serde(borrow)];
        note [Text] Option<Cow<'a, str>>, #[serde(borrow)];
        more [Text] Option<String>;
    }
    Optional { a [Whole] Option<u64>; b [Flag] Option<bool>; c [Real] Option<f64>; d [Plain] Option<&'a str>; }
}

#[derive(Debug)]
enum Leaf {
    None,
    Whole(i128),
    Real(f64),
    Flag(bool),
    Text(String),
}

impl PartialEq for Leaf {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, Self::None) => true,
            (Self::Whole(a), Self::Whole(b)) => a == b,
            // serde_json without `float_roundtrip` is a few last digits off; ours is exact, as another test shows.
            (Self::Real(a), Self::Real(b)) => (a.to_bits() as i64).abs_diff(b.to_bits() as i64) <= 4,
            (Self::Flag(a), Self::Flag(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            _ => false,
        }
    }
}

macro_rules! leaves {
    ($($type:ty, $value:ident => $leaf:expr;)*) => {
        $(impl From<$type> for Leaf {
            fn from($value: $type) -> Self {
                $leaf
            }
        })*
    };
}

leaves! {
    i8, value => Self::Whole(value.into());
    u8, value => Self::Whole(value.into());
    i16, value => Self::Whole(value.into());
    u16, value => Self::Whole(value.into());
    i32, value => Self::Whole(value.into());
    u32, value => Self::Whole(value.into());
    i64, value => Self::Whole(value.into());
    u64, value => Self::Whole(value.into());
    f64, value => Self::Real(value);
    bool, value => Self::Flag(value);
    &str, value => Self::Text(value.to_owned());
    String, value => Self::Text(value);
    Cow<'_, str>, value => Self::Text(value.into_owned());
}

impl<T: Into<Self>> From<Option<T>> for Leaf {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::None, T::into)
    }
}

/// Any bytes as the data of an event of every type.
///
/// # Panics
/// When the two decoders differ.
pub fn json(document: &[u8]) {
    let of_types = VARIANTS.iter().try_for_each(|(event_type, _)| compare(event_type, document).map(drop));
    of_types.and_then(|()| compare_values(document)).unwrap_or_else(|difference| panic!("{difference}"));
}

/// Any value, read quickly and by serde_json.
///
/// # Errors
/// Says how the verdicts or the values differ.
fn compare_values(document: &[u8]) -> Result<(), String> {
    let theirs = serde_json::from_slice::<serde_json::Value>(document).map_err(|error| error.to_string());
    let quick = quick::read(document, std::marker::PhantomData::<serde_json::Value>);
    match (&quick, &theirs) {
        (Ok(a), Ok(b)) if a == b => Ok(()),
        (Err(quick::GiveUp), Err(_)) => Ok(()),
        (quick, theirs) => {
            let document = String::from_utf8_lossy(document);
            Err(format!("{}\nquick: {quick:?}\ntheirs: {theirs:?}", document.escape_debug()))
        }
    }
}

/// How many documents were compared.
#[derive(Debug, Default, PartialEq)]
pub struct Tally {
    pub accepted: usize,
    pub refused: usize,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.refused += other.refused;
    }
}

/// # Errors
/// Says how the verdicts or the values differ.
fn compare(event_type: &str, document: &[u8]) -> Result<Tally, String> {
    let payload = Payload { event_type, content_type: "application/json", bytes: document };
    let ours = Ours::decode(payload).map(Ours::leaves).map_err(|error| error.to_string());
    let serde_json = Content { payload, reader: Thorough(&mut String::new()) }.decode(true);
    let theirs = serde_json.map(Theirs::leaves).map_err(|error| error.to_string());
    let quick = Content { payload, reader: Quick }.decode(true).map(Theirs::leaves);
    // Two things that serde_json takes are refused: lists, whose values it gives to the fields in their
    // order, and bytes that are not UTF-8 in a place that it skips.
    let is_list = document.trim_ascii_start().first() == Some(&b'[');
    let is_text = std::str::from_utf8(document).is_ok();
    let refused_on_purpose = is_list || !is_text;
    if quick.as_ref().is_ok_and(|quick| theirs.as_ref() != Ok(quick)) || (quick.is_err() && theirs.is_ok() && is_text) {
        let document = String::from_utf8_lossy(document);
        return Err(format!("{event_type} of {}\nquick: {quick:?}\ntheirs: {theirs:?}", document.escape_debug()));
    }
    match (&ours, &theirs) {
        (Err(_), _) if refused_on_purpose => Ok(Tally { accepted: 0, refused: 1 }),
        (Ok(a), Ok(b)) if a == b && !refused_on_purpose => Ok(Tally { accepted: 1, refused: 0 }),
        (Err(_), Err(_)) => Ok(Tally { accepted: 0, refused: 1 }),
        _ => Err(format!(
            "{event_type} of {}\n ours: {ours:?}\ntheirs: {theirs:?}",
            String::from_utf8_lossy(document).escape_debug()
        )),
    }
}

/// Compares `count` pseudo-random documents, each whole and damaged.
///
/// # Errors
/// Says which document is decoded in another way.
pub fn compare_random_documents(seed: u64, count: usize) -> Result<[Tally; 2], String> {
    let mut random = Random(seed);
    let [mut whole, mut damaged] = [Tally::default(), Tally::default()];
    for _ in 0..count {
        let (event_type, fields) = random.pick(VARIANTS);
        let mut document = object(&mut random, fields);
        whole += compare(event_type, &document)?;
        compare_values(&document)?;
        damage(&mut random, &mut document);
        damaged += compare(event_type, &document)?;
        compare_values(&document)?;
    }
    Ok([whole, damaged])
}

#[cfg(test)]
mod tests;
