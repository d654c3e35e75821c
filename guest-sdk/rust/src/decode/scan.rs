//! A scanner for the whole JSON grammar that keeps only what the author declared.
//!
//! Bytes that are not ASCII are legal inside strings only. The first one makes the scanner check
//! all of the data to be UTF-8, so data that is plain ASCII never pays for it.

use std::borrow::Cow;

use super::failure::{Failure, Scanned};
use super::text::plain_end;

/// JSON text and how far it is read.
///
/// What happens for each field is inlined, and rarer things work on a copy ([`Scanner::aside`]): so
/// the compiler keeps the place in a register. That is a third of the time.
#[derive(Clone, Copy)]
pub struct Scanner<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    is_utf8: bool,
}

impl<'a> Scanner<'a> {
    #[inline(always)]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, is_utf8: false }
    }

    /// Calls a function that is not inlined.
    #[inline(always)]
    pub fn aside<T>(&mut self, call: impl FnOnce(&mut Self) -> T) -> T {
        let mut copy = *self;
        let result = call(&mut copy);
        *self = copy;
        result
    }

    /// Reads all of the data, which must be one object. `on_field` gets each key and must read its value.
    #[inline(always)]
    pub fn object(&mut self, expected: &str, mut on_field: impl FnMut(&str, &mut Self) -> Scanned<()>) -> Scanned<()> {
        if self.peek() != Some(b'{') {
            return Err(self.aside(|aside| aside.unfit(expected)));
        }
        self.at += 1;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return self.end();
        }
        loop {
            let key = self.key()?;
            on_field(&key, self)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return self.end();
                }
                _ => {
                    return Err(
                        self.aside(|aside| aside.expected("expected `,` or `}`", "EOF while parsing an object"))
                    );
                }
            }
        }
    }

    #[inline(always)]
    pub(super) fn end(&mut self) -> Scanned<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(Failure::new(self.at + 1, "trailing characters")),
        }
    }

    /// The next byte that is no white space, which stays to be read.
    #[inline(always)]
    pub fn peek(&mut self) -> Option<u8> {
        match self.bytes.get(self.at) {
            Some(&byte) if byte > b' ' => Some(byte),
            _ => self.aside(Self::peek_behind_space),
        }
    }

    #[inline(never)]
    fn peek_behind_space(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.bytes.get(self.at) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    #[inline(always)]
    pub(super) fn key(&mut self) -> Scanned<Cow<'a, str>> {
        if self.peek() != Some(b'"') {
            return Err(self.aside(|aside| aside.no_key()));
        }
        let key = self.text()?;
        self.colon()?;
        Ok(key)
    }

    #[inline(always)]
    fn colon(&mut self) -> Scanned<()> {
        if self.peek() != Some(b':') {
            return Err(self.aside(|aside| aside.expected("expected `:`", "EOF while parsing an object")));
        }
        self.at += 1;
        Ok(())
    }

    /// The string whose opening quote is the next byte; owned only if it has an escape.
    #[inline(always)]
    pub fn text(&mut self) -> Scanned<Cow<'a, str>> {
        let start = self.at + 1;
        let end = plain_end::<true>(self.bytes, start);
        if self.bytes.get(end) != Some(&b'"') {
            return self.aside(|aside| aside.rare_text(start));
        }
        self.at = end + 1;
        // SAFETY: `plain_end` stops before the first byte that is not ASCII.
        Ok(Cow::Borrowed(unsafe { std::str::from_utf8_unchecked(&self.bytes[start..end]) }))
    }

    /// A string with an escape, a byte that is not ASCII, or a mistake.
    #[inline(never)]
    fn rare_text(&mut self, start: usize) -> Scanned<Cow<'a, str>> {
        self.check_utf8()?;
        let mut unescaped = None;
        let mut start = start;
        loop {
            let end = plain_end::<false>(self.bytes, start);
            // SAFETY: all of the data is UTF-8, and both ends are next to an ASCII byte.
            let part = unsafe { std::str::from_utf8_unchecked(&self.bytes[start..end]) };
            self.at = end + 1;
            match self.bytes.get(end) {
                Some(b'"') => {
                    return Ok(match unescaped {
                        None => Cow::Borrowed(part),
                        Some(text) => Cow::Owned(text + part),
                    });
                }
                Some(b'\\') => {
                    let text = unescaped.get_or_insert_with(String::new);
                    text.push_str(part);
                    text.push(self.escape()?);
                }
                _ => return Err(self.unfinished_text(end)),
            }
            start = self.at;
        }
    }

    /// What the escape whose `\` is read stands for.
    fn escape(&mut self) -> Scanned<char> {
        let place = self.at;
        self.at += 1;
        Ok(match self.bytes.get(place) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            Some(_) => return Err(Failure::new(self.at, "invalid escape")),
            None => return Err(Failure::new(place, "EOF while parsing a string")),
        })
    }

    /// One `\uXXXX`, or two that are the halves of a character.
    fn unicode_escape(&mut self) -> Scanned<char> {
        let first = self.hex()?;
        let mut code = Some(first);
        if let 0xd800..0xdc00 = first {
            if self.bytes.get(self.at..self.at + 2) != Some(b"\\u") {
                return Err(Failure::new(self.at + 1, "unexpected end of hex escape"));
            }
            self.at += 2;
            let second = self.hex()?.checked_sub(0xdc00).filter(|second| *second < 0x400);
            code = second.map(|second| 0x10000 + ((first - 0xd800) << 10) + second);
        }
        let lone = || Failure::new(self.at, "lone leading surrogate in hex escape");
        code.and_then(char::from_u32).ok_or_else(lone)
    }

    fn hex(&mut self) -> Scanned<u32> {
        let Some(text) = self.bytes.get(self.at..self.at + 4) else {
            return Err(Failure::new(self.bytes.len(), "EOF while parsing a string"));
        };
        self.at += 4;
        let digit = |value: Option<u32>, byte: &u8| Some(value? * 16 + char::from(*byte).to_digit(16)?);
        text.iter().fold(Some(0), digit).ok_or_else(|| Failure::new(self.at, "invalid escape"))
    }

    /// Reads a value that nobody asked for.
    #[inline(always)]
    pub fn skip_value(&mut self) -> Scanned<()> {
        match self.peek() {
            Some(b'{' | b'[') => self.aside(Self::skip_list_or_object),
            other => self.skip_scalar(other),
        }
    }

    #[inline(always)]
    pub(super) fn skip_scalar(&mut self, first: Option<u8>) -> Scanned<()> {
        match first {
            Some(b'"') => self.skip_text(),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            Some(b't') => self.literal(b"true"),
            Some(b'f') => self.literal(b"false"),
            Some(b'n') => self.literal(b"null"),
            _ => Err(self.aside(|aside| aside.expected("expected value", "EOF while parsing a value"))),
        }
    }

    #[inline(never)]
    fn skip_list_or_object(&mut self) -> Scanned<()> {
        self.aside(Self::skip_nested)
    }

    /// Without recursion, so that no data exhausts the stack.
    #[inline(always)]
    fn skip_nested(&mut self) -> Scanned<()> {
        let mut nesting = Nesting::default();
        loop {
            match self.peek() {
                Some(open @ (b'{' | b'[')) => {
                    self.at += 1;
                    nesting.enter(open == b'{');
                    // Both closing brackets are two behind the opening one.
                    if self.peek() != Some(open + 2) {
                        if nesting.in_object() {
                            self.skip_key()?;
                        }
                        continue;
                    }
                }
                other => self.skip_scalar(other)?,
            }
            loop {
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        break;
                    }
                    Some(b'}') if nesting.in_object() => self.at += 1,
                    Some(b']') if !nesting.in_object() => self.at += 1,
                    _ if nesting.in_object() => {
                        return Err(
                            self.aside(|aside| aside.expected("expected `,` or `}`", "EOF while parsing an object"))
                        );
                    }
                    _ => {
                        return Err(
                            self.aside(|aside| aside.expected("expected `,` or `]`", "EOF while parsing a list"))
                        );
                    }
                }
                nesting.leave();
                if nesting.depth == 0 {
                    return Ok(());
                }
            }
            if nesting.in_object() {
                self.skip_key()?;
            }
        }
    }

    #[inline(always)]
    fn skip_key(&mut self) -> Scanned<()> {
        if self.peek() != Some(b'"') {
            return Err(self.aside(|aside| aside.no_key()));
        }
        self.skip_text()?;
        self.colon()
    }

    /// As [`Scanner::text`], but halves of characters may stand alone: that is grammatical, it only has no value.
    #[inline(always)]
    fn skip_text(&mut self) -> Scanned<()> {
        self.at = plain_end::<true>(self.bytes, self.at + 1);
        if self.bytes.get(self.at) == Some(&b'"') {
            self.at += 1;
            return Ok(());
        }
        self.aside(Self::skip_rare_text)
    }

    #[inline(never)]
    fn skip_rare_text(&mut self) -> Scanned<()> {
        self.check_utf8()?;
        loop {
            let end = plain_end::<false>(self.bytes, self.at);
            self.at = end + 1;
            match self.bytes.get(end) {
                Some(b'"') => return Ok(()),
                Some(b'\\') if self.bytes.get(self.at) == Some(&b'u') => {
                    self.at += 1;
                    self.hex()?;
                }
                Some(b'\\') => drop(self.escape()?),
                _ => return Err(self.unfinished_text(end)),
            }
        }
    }

    #[inline(always)]
    pub fn literal(&mut self, literal: &'static [u8]) -> Scanned<()> {
        if !self.bytes[self.at..].starts_with(literal) {
            return Err(self.aside(|aside| aside.wrong_literal(literal)));
        }
        self.at += literal.len();
        Ok(())
    }

    fn check_utf8(&mut self) -> Scanned<()> {
        if !self.is_utf8 {
            std::str::from_utf8(self.bytes)
                .map_err(|error| Failure::new(error.valid_up_to(), "invalid unicode code point"))?;
            self.is_utf8 = true;
        }
        Ok(())
    }
}

/// Which of the open brackets belong to objects: one bit each, the innermost in the lowest.
#[derive(Default)]
struct Nesting {
    depth: usize,
    inner: u64,
    outer: Vec<u64>,
}

impl Nesting {
    fn enter(&mut self, object: bool) {
        if self.depth > 0 && self.depth & 63 == 0 {
            self.outer.push(self.inner);
        }
        self.inner = self.inner << 1 | u64::from(object);
        self.depth += 1;
    }

    fn leave(&mut self) {
        self.inner >>= 1;
        self.depth -= 1;
        if self.depth & 63 == 0 {
            self.inner = self.outer.pop().unwrap_or_default();
        }
    }

    fn in_object(&self) -> bool {
        self.inner & 1 == 1
    }
}
