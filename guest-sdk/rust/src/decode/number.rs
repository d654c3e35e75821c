//! JSON numbers: the grammar, and the values that serde_json gives.

use super::failure::{Failure, Scanned};
use super::scan::Scanner;

/// A grammatically correct number.
pub struct Number<'a> {
    pub text: &'a [u8],
    negative: bool,
    /// Without its sign. `None`: it has a fraction or an exponent, or does not fit.
    magnitude: Option<u64>,
}

impl Number<'_> {
    pub fn as_u64(&self) -> Option<u64> {
        self.magnitude.filter(|_| !self.negative)
    }

    /// `-0` is no integer, as in serde_json.
    pub fn as_i64(&self) -> Option<i64> {
        match (self.negative, self.magnitude?) {
            (false, magnitude) => i64::try_from(magnitude).ok(),
            (true, 0) => None,
            (true, magnitude) => 0_i64.checked_sub_unsigned(magnitude),
        }
    }

    /// The nearest `f64`. `None`: beyond the range of `f64`.
    pub fn as_f64(&self) -> Option<f64> {
        if let Some(magnitude) = self.magnitude {
            let value = magnitude as f64;
            return Some(if self.negative { -value } else { value });
        }
        std::str::from_utf8(self.text).ok()?.parse().ok().filter(|value: &f64| value.is_finite())
    }
}

impl<'a> Scanner<'a> {
    /// The number that starts here.
    #[inline(always)]
    pub fn number(&mut self) -> Scanned<Number<'a>> {
        let start = self.at;
        let negative = self.bytes.get(start) == Some(&b'-');
        self.at += usize::from(negative);
        let mut magnitude = Some(self.whole_part()?);
        if self.at - start > 19 {
            magnitude = digits(&self.bytes[start + usize::from(negative)..self.at]);
        }
        if matches!(self.bytes.get(self.at), Some(b'.' | b'e' | b'E')) {
            self.aside(Self::fraction_and_exponent)?;
            magnitude = None;
        }
        Ok(Number { text: &self.bytes[start..self.at], negative, magnitude })
    }

    /// The digits before fraction and exponent, and their value if it has fewer than 20 of them.
    #[inline(always)]
    fn whole_part(&mut self) -> Scanned<u64> {
        let first = self.at;
        let mut value = 0_u64;
        while let Some(digit) = self.digit() {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            self.at += 1;
        }
        match self.at - first {
            0 => Err(self.aside(|aside| aside.invalid_number())),
            1 => Ok(value),
            _ if self.bytes[first] == b'0' => Err(Failure::new(first + 2, "invalid number")),
            _ => Ok(value),
        }
    }

    #[inline(always)]
    fn digit(&self) -> Option<u8> {
        self.bytes.get(self.at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10)
    }

    fn fraction_and_exponent(&mut self) -> Scanned<()> {
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.bytes.get(self.at), Some(b'+' | b'-')));
            self.some_digits()?;
        }
        Ok(())
    }

    fn some_digits(&mut self) -> Scanned<()> {
        if self.digit().is_none() {
            return Err(self.invalid_number());
        }
        while self.digit().is_some() {
            self.at += 1;
        }
        Ok(())
    }

    #[cold]
    fn invalid_number(&self) -> Failure {
        match self.bytes.len() <= self.at {
            true => Failure::new(self.at, "EOF while parsing a value"),
            false => Failure::new(self.at + 1, "invalid number"),
        }
    }
}

#[cold]
fn digits(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
