//! The types that a field of a declared event may have.

use std::borrow::Cow;

use super::failure::{Failure, Scanned};
use super::scan::Scanner;

/// What a field of an event of [`events!`](crate::events) can be: a whole number of 8 to 64 bits,
/// `f64`, `bool`, `&'a str`, `Cow<'a, str>`, `String`, or an `Option` of these (missing or null is
/// `None`).
///
/// Data fits where serde_json would take it, and `f64` is the number nearest to what the text says.
pub trait Field<'a>: Sized {
    #[doc(hidden)]
    fn scan(scanner: &mut Scanner<'a>) -> Scanned<Self>;

    /// The value when the data does not have the field.
    #[doc(hidden)]
    fn missing() -> Option<Self> {
        None
    }
}

impl<'a> Scanner<'a> {
    /// The value of a field that may come once.
    #[inline(always)]
    pub fn fill<T: Field<'a>>(&mut self, slot: &mut Option<T>, name: &'static str) -> Scanned<()> {
        if slot.is_some() {
            return Err(self.aside(|aside| aside.duplicate(name)));
        }
        match T::scan(self) {
            Ok(value) => *slot = Some(value),
            Err(failure) => return Err(failure.in_field(name)),
        }
        Ok(())
    }

    #[cold]
    fn duplicate(&self, name: &str) -> Failure {
        // Without the colon behind it.
        Failure::new(self.at - 1, format!("duplicate field `{name}`"))
    }
}

impl<'a, T: Field<'a>> Field<'a> for Option<T> {
    #[inline(always)]
    fn scan(scanner: &mut Scanner<'a>) -> Scanned<Self> {
        match scanner.peek() {
            Some(b'n') => scanner.literal(b"null").map(|()| None),
            _ => T::scan(scanner).map(Some),
        }
    }

    fn missing() -> Option<Self> {
        Some(None)
    }
}

impl<'a> Field<'a> for bool {
    #[inline(always)]
    fn scan(scanner: &mut Scanner<'a>) -> Scanned<Self> {
        match scanner.peek() {
            Some(b't') => scanner.literal(b"true").map(|()| true),
            Some(b'f') => scanner.literal(b"false").map(|()| false),
            _ => Err(scanner.aside(|aside| aside.unfit("a boolean"))),
        }
    }
}

impl<'a> Field<'a> for Cow<'a, str> {
    #[inline(always)]
    fn scan(scanner: &mut Scanner<'a>) -> Scanned<Self> {
        match scanner.peek() {
            Some(b'"') => scanner.text(),
            _ => Err(scanner.aside(|aside| aside.unfit("a string"))),
        }
    }
}

impl<'a> Field<'a> for String {
    #[inline(always)]
    fn scan(scanner: &mut Scanner<'a>) -> Scanned<Self> {
        Cow::scan(scanner).map(Cow::into_owned)
    }
}

impl<'a> Field<'a> for &'a str {
    #[inline(always)]
    fn scan(scanner: &mut Scanner<'a>) -> Scanned<Self> {
        if scanner.peek() != Some(b'"') {
            return Err(scanner.aside(|aside| aside.unfit("a borrowed string")));
        }
        match scanner.text()? {
            Cow::Borrowed(text) => Ok(text),
            Cow::Owned(text) => {
                Err(Failure::new(scanner.at, format!("invalid type: string {text:?}, expected a borrowed string")))
            }
        }
    }
}

impl<'a> Field<'a> for f64 {
    #[inline(always)]
    fn scan(scanner: &mut Scanner<'a>) -> Scanned<Self> {
        match scanner.peek() {
            Some(b'-' | b'0'..=b'9') => {
                let number = scanner.number()?;
                number.as_f64().ok_or_else(|| Failure::new(scanner.at, "number out of range"))
            }
            _ => Err(scanner.aside(|aside| aside.unfit("f64"))),
        }
    }
}

macro_rules! whole_numbers {
    ($($type:ident $as_wide:ident),*) => {$(
        impl<'a> Field<'a> for $type {
            #[inline(always)]
            fn scan(scanner: &mut Scanner<'a>) -> Scanned<Self> {
                match scanner.peek() {
                    Some(b'-' | b'0'..=b'9') => {
                        let number = scanner.number()?;
                        let value = number.$as_wide().and_then(|wide| Self::try_from(wide).ok());
                        value.ok_or_else(|| Failure::unfit(scanner.at, number.text, stringify!($type)))
                    }
                    _ => Err(scanner.aside(|aside| aside.unfit(stringify!($type)))),
                }
            }
        }
    )*};
}

whole_numbers!(i8 as_i64, i16 as_i64, i32 as_i64, i64 as_i64, u8 as_u64, u16 as_u64, u32 as_u64, u64 as_u64);
