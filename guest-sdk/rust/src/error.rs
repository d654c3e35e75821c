//! Why an event cannot be applied: a sentence for the people who read the dead letter.

use std::fmt;

/// Why an event cannot be applied. Lantern parks the event and the later events of its stream,
/// shows this text, and tries again when a changed plugin is dropped in.
///
/// Every [`std::error::Error`] turns into it with `?`; [`bail!`](crate::bail) and
/// [`ensure!`](crate::ensure) make one from a format string. Lantern adds the plugin, the stream
/// and the position, so the text need not name them.
pub struct Error(String);

impl Error {
    pub fn new(reason: impl fmt::Display) -> Self {
        Self(reason.to_string())
    }
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        Self(text)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Leaves the function with an [`Error`] made from a format string.
#[macro_export]
macro_rules! bail {
    ($($reason:tt)+) => {
        return ::core::result::Result::Err($crate::Error::new(::core::format_args!($($reason)+)))
    };
}

/// Leaves the function with an [`Error`] made from a format string unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($reason:tt)+) => {
        if !$condition {
            $crate::bail!($($reason)+);
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(number: &str) -> Result<i64, Error> {
        ensure!(!number.is_empty(), "no number in {number:?}");
        Ok(number.parse()?)
    }

    #[test]
    fn errors_keep_their_text_and_ensure_formats_its_own() {
        assert_eq!(parse("12").map_err(|error| error.to_string()), Ok(12));
        assert_eq!(parse("x").expect_err("no number").to_string(), "invalid digit found in string");
        assert_eq!(parse("").expect_err("empty").to_string(), "no number in \"\"");
    }
}
