//! Reads JSON into the types of serde with the scanner. It gives up on whatever does not fit: then serde_json reads the
//! same data again and has the last word.

use std::borrow::Cow;
use std::fmt::Display;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};
use serde_json::Error as JsonError;
use serde_json::de::SliceRead;

use super::failure::Failure;
use super::scan::Scanner;

/// Brackets within each other that serde_json reads.
const MAX_DEPTH: u8 = 127;

/// Another one shall read this. Says nothing, so that it costs nothing.
#[derive(Debug)]
pub struct GiveUp;

impl Display for GiveUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not read")
    }
}

impl std::error::Error for GiveUp {}

impl Error for GiveUp {
    fn custom<T: Display>(_: T) -> Self {
        Self
    }
}

impl From<Failure> for GiveUp {
    fn from(_: Failure) -> Self {
        Self
    }
}

impl From<JsonError> for GiveUp {
    fn from(_: JsonError) -> Self {
        Self
    }
}

/// Reads all of `bytes`, which is one JSON value.
pub fn read<'de, S: DeserializeSeed<'de>>(bytes: &'de [u8], seed: S) -> Result<S::Value, GiveUp> {
    let mut scanner = Scanner::new(bytes);
    let value = seed.deserialize(Next { scanner: &mut scanner, depth: 0 })?;
    scanner.end()?;
    Ok(value)
}

/// The value that comes next.
struct Next<'s, 'de> {
    scanner: &'s mut Scanner<'de>,
    depth: u8,
}

impl<'de> Next<'_, 'de> {
    /// Has serde_json read the value.
    fn by_serde_json<T>(
        self,
        read: impl FnOnce(&mut serde_json::Deserializer<SliceRead<'de>>) -> Result<T, JsonError>,
    ) -> Result<T, GiveUp> {
        self.scanner.peek();
        let start = self.scanner.at;
        self.scanner.skip_value()?;
        let mut json = serde_json::Deserializer::from_slice(&self.scanner.bytes[start..self.scanner.at]);
        let value = read(&mut json)?;
        json.end()?;
        Ok(value)
    }

    fn expect(self, first: u8) -> Result<Self, GiveUp> {
        if self.scanner.peek() == Some(first) { Ok(self) } else { Err(GiveUp) }
    }

    fn text<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, GiveUp> {
        match self.scanner.text()? {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_str(&text),
        }
    }

    fn number<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, GiveUp> {
        let number = self.scanner.number()?;
        match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => visitor.visit_u64(number),
            (_, Some(number)) => visitor.visit_i64(number),
            // So that it becomes the very number that serde_json would make of it.
            _ => Ok(serde_json::Deserializer::from_slice(number.text).deserialize_any(visitor)?),
        }
    }

    fn literal<T>(self, literal: &'static [u8], visit: impl FnOnce() -> Result<T, GiveUp>) -> Result<T, GiveUp> {
        self.scanner.literal(literal)?;
        visit()
    }

    /// The parts of the value, whose opening bracket is the next byte.
    fn parts<'p>(&'p mut self) -> Result<Parts<'p, 'de>, GiveUp> {
        if self.depth >= MAX_DEPTH {
            return Err(GiveUp);
        }
        // Both closing brackets are two behind the opening one.
        let closing = self.scanner.bytes[self.scanner.at] + 2;
        self.scanner.at += 1;
        Ok(Parts { scanner: self.scanner, depth: self.depth + 1, closing, is_first: true, is_closed: false })
    }

    fn object<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, GiveUp> {
        let mut parts = self.parts()?;
        let value = visitor.visit_map(&mut parts)?;
        parts.close().map(|()| value)
    }

    fn list<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, GiveUp> {
        let mut parts = self.parts()?;
        let value = visitor.visit_seq(&mut parts)?;
        parts.close().map(|()| value)
    }
}

/// Numbers are tried whatever type is asked for: the visitor takes those that fit.
macro_rules! numbers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, GiveUp> {
            match self.scanner.peek() {
                Some(b'-' | b'0'..=b'9') => self.number(visitor),
                _ => Err(GiveUp),
            }
        }
    )*};
}

macro_rules! texts {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, GiveUp> {
            self.expect(b'"')?.text(visitor)
        }
    )*};
}

macro_rules! rare {
    ($($method:ident($($argument:ident: $type:ty),*))*) => {$(
        fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, GiveUp> {
            self.by_serde_json(|json| json.$method($($argument,)* visitor))
        }
    )*};
}

impl<'de> Deserializer<'de> for Next<'_, 'de> {
    type Error = GiveUp;

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_f32
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_f64
    }
    texts! { deserialize_str deserialize_string deserialize_char deserialize_identifier }
    rare! {
        deserialize_i128() deserialize_u128() deserialize_bytes() deserialize_byte_buf()
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, GiveUp> {
        match self.scanner.peek() {
            Some(b'"') => self.text(visitor),
            Some(b'{') => self.object(visitor),
            Some(b'[') => self.list(visitor),
            Some(b'n') => self.deserialize_unit(visitor),
            Some(b't' | b'f') => self.deserialize_bool(visitor),
            Some(b'-' | b'0'..=b'9') => self.number(visitor),
            _ => Err(GiveUp),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, GiveUp> {
        self.scanner.skip_value()?;
        visitor.visit_unit()
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, GiveUp> {
        match self.scanner.peek() {
            Some(b't') => self.literal(b"true", || visitor.visit_bool(true)),
            _ => self.literal(b"false", || visitor.visit_bool(false)),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, GiveUp> {
        self.expect(b'n')?.literal(b"null", || visitor.visit_unit())
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, GiveUp> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, GiveUp> {
        match self.scanner.peek() {
            Some(b'n') => self.literal(b"null", || visitor.visit_none()),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, GiveUp> {
        // By such names serde_json knows its own types.
        if name.starts_with("$serde_json") {
            return self.by_serde_json(|json| json.deserialize_newtype_struct(name, visitor));
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, GiveUp> {
        self.expect(b'[')?.list(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, GiveUp> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, GiveUp> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, GiveUp> {
        self.expect(b'{')?.object(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, GiveUp> {
        match self.scanner.peek() {
            Some(b'[') => self.list(visitor),
            _ => self.deserialize_map(visitor),
        }
    }
}

/// What is between two brackets.
struct Parts<'s, 'de> {
    scanner: &'s mut Scanner<'de>,
    depth: u8,
    closing: u8,
    is_first: bool,
    is_closed: bool,
}

impl<'de> Parts<'_, 'de> {
    /// Goes to the next part, if there is one.
    fn advance(&mut self) -> Result<bool, GiveUp> {
        match self.scanner.peek() {
            Some(b',') if !self.is_first => self.scanner.at += 1,
            Some(byte) if byte == self.closing => {
                self.scanner.at += 1;
                self.is_closed = true;
                return Ok(false);
            }
            _ if self.is_first => {}
            _ => return Err(GiveUp),
        }
        self.is_first = false;
        Ok(true)
    }

    /// The visitor wants no more. There must be no more.
    fn close(mut self) -> Result<(), GiveUp> {
        if self.is_closed || !self.advance()? { Ok(()) } else { Err(GiveUp) }
    }

    fn next(&mut self) -> Next<'_, 'de> {
        Next { scanner: self.scanner, depth: self.depth }
    }
}

impl<'de> MapAccess<'de> for &mut Parts<'_, 'de> {
    type Error = GiveUp;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, GiveUp> {
        if !self.advance()? {
            return Ok(None);
        }
        let key = self.scanner.key()?;
        seed.deserialize(Key(key)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, GiveUp> {
        seed.deserialize(self.next())
    }
}

impl<'de> SeqAccess<'de> for &mut Parts<'_, 'de> {
    type Error = GiveUp;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, GiveUp> {
        if self.advance()? { seed.deserialize(self.next()).map(Some) } else { Ok(None) }
    }
}

/// The name of a field, or the key of a map, which may be asked for as a number.
struct Key<'de>(Cow<'de, str>);

macro_rules! number_keys {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, GiveUp> {
            let mut scanner = Scanner::new(self.0.as_bytes());
            let number = scanner.number()?;
            match (number.text.len() == self.0.len(), number.as_u64(), number.as_i64()) {
                (true, Some(number), _) => visitor.visit_u64(number),
                (true, _, Some(number)) => visitor.visit_i64(number),
                _ => Err(GiveUp),
            }
        }
    )*};
}

macro_rules! no_keys {
    ($($method:ident($($type:ty),*))*) => {$(
        fn $method<V: Visitor<'de>>(self, $(_: $type,)* _: V) -> Result<V::Value, GiveUp> {
            Err(GiveUp)
        }
    )*};
}

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = GiveUp;

    number_keys! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }
    no_keys! {
        deserialize_bool() deserialize_f32() deserialize_f64() deserialize_i128() deserialize_u128()
        deserialize_bytes() deserialize_byte_buf() deserialize_enum(&'static str, &'static [&'static str])
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, GiveUp> {
        match self.0 {
            Cow::Borrowed(key) => visitor.visit_borrowed_str(key),
            Cow::Owned(key) => visitor.visit_str(&key),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, GiveUp> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, GiveUp> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        char str string unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}
