//! The data of an event as a type of serde: an enum whose variant is the event type, or any other type.

use std::marker::PhantomData;

use serde::de::value::BorrowedBytesDeserializer;
use serde::de::{DeserializeSeed, EnumAccess, IntoDeserializer, VariantAccess, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};

use super::Payload;
use super::quick::{self, GiveUp};

/// Learns the variants of an enum without data. Costs nothing, so it may run for each event.
pub struct VariantProbe<'p>(pub &'p mut Option<&'static [&'static str]>);

impl<'de> Deserializer<'de> for VariantProbe<'_> {
    type Error = GiveUp;

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, GiveUp> {
        *self.0 = Some(variants);
        Err(GiveUp)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, GiveUp> {
        Err(GiveUp)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// A way to read JSON.
pub trait Reader<'de> {
    type Error: serde::de::Error;

    /// Reads all of `bytes`.
    fn read<S: DeserializeSeed<'de>>(self, bytes: &'de [u8], seed: S) -> Result<S::Value, Self::Error>;
}

/// Fast; says nothing about a failure.
pub struct Quick;

impl<'de> Reader<'de> for Quick {
    type Error = GiveUp;

    fn read<S: DeserializeSeed<'de>>(self, bytes: &'de [u8], seed: S) -> Result<S::Value, GiveUp> {
        quick::read(bytes, seed)
    }
}

/// serde_json. Leaves here which field a failure met.
pub struct Thorough<'p>(pub &'p mut String);

impl<'de> Reader<'de> for Thorough<'_> {
    type Error = serde_json::Error;

    fn read<S: DeserializeSeed<'de>>(self, bytes: &'de [u8], seed: S) -> Result<S::Value, serde_json::Error> {
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let mut track = serde_path_to_error::Track::new();
        let read = seed.deserialize(serde_path_to_error::Deserializer::new(&mut json, &mut track));
        if read.is_err() {
            *self.0 = track.path().to_string();
        }
        let value = read?;
        json.end()?;
        Ok(value)
    }
}

/// The data of an event, for a type that is an enum whose variants are the event types, or any other type.
pub struct Content<'de, R> {
    pub payload: Payload<'de>,
    pub reader: R,
}

impl<'de, R: Reader<'de>> Content<'de, R> {
    pub fn decode<T: Deserialize<'de>>(self, is_enum: bool) -> Result<T, R::Error> {
        if is_enum { T::deserialize(self) } else { self.read(PhantomData) }
    }

    fn read<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, R::Error> {
        if self.payload.is_json() {
            return self.reader.read(self.payload.bytes, seed);
        }
        seed.deserialize(BorrowedBytesDeserializer::new(self.payload.bytes))
    }
}

impl<'de, R: Reader<'de>> Deserializer<'de> for Content<'de, R> {
    type Error = R::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, R::Error> {
        visitor.visit_enum(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de, R: Reader<'de>> EnumAccess<'de> for Content<'de, R> {
    type Error = R::Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), R::Error> {
        let event_type = IntoDeserializer::<R::Error>::into_deserializer(self.payload.event_type);
        seed.deserialize(event_type).map(|variant| (variant, self))
    }
}

impl<'de, R: Reader<'de>> VariantAccess<'de> for Content<'de, R> {
    type Error = R::Error;

    fn unit_variant(self) -> Result<(), R::Error> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, R::Error> {
        self.read(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, R::Error> {
        self.read(TupleSeed(len, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, R::Error> {
        self.read(StructSeed(fields, visitor))
    }
}

struct TupleSeed<V>(usize, V);

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for TupleSeed<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        deserializer.deserialize_tuple(self.0, self.1)
    }
}

struct StructSeed<V>(&'static [&'static str], V);

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for StructSeed<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        deserializer.deserialize_struct("", self.0, self.1)
    }
}
