//! Lines in Lantern's log, marked there with the plugin's name.
//!
//! `log::info!("opened {name}")` and its siblings `debug!`, `warn!` and `error!` take what
//! `format!` takes. Lantern drops what exceeds its limit of bytes a second. Natively, in tests, the
//! lines go to stderr.

use std::fmt;

pub use crate::{__debug as debug, __error as error, __info as info, __warn as warn};

/// How much a line matters.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

#[doc(hidden)]
pub fn write(level: Level, message: fmt::Arguments<'_>) {
    #[cfg(target_arch = "wasm32")]
    {
        use crate::bindings::lantern::plugin::log;
        let level = match level {
            Level::Debug => log::Level::Debug,
            Level::Info => log::Level::Info,
            Level::Warn => log::Level::Warn,
            Level::Error => log::Level::Error,
        };
        log::log(level, &message.to_string());
    }
    #[cfg(not(target_arch = "wasm32"))]
    eprintln!("{level:?}: {message}");
}

/// Has a panic leave its message and place in the log before it traps: a guest has no stderr.
#[doc(hidden)]
pub fn report_panics() {
    // In one line: place and message belong together.
    std::panic::set_hook(Box::new(|panic| {
        write(Level::Error, format_args!("{}", panic.to_string().replace('\n', " ")))
    }));
}

#[doc(hidden)]
#[macro_export]
macro_rules! __debug {
    ($($message:tt)+) => {
        $crate::__private::write($crate::__private::Level::Debug, ::core::format_args!($($message)+))
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __info {
    ($($message:tt)+) => {
        $crate::__private::write($crate::__private::Level::Info, ::core::format_args!($($message)+))
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __warn {
    ($($message:tt)+) => {
        $crate::__private::write($crate::__private::Level::Warn, ::core::format_args!($($message)+))
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __error {
    ($($message:tt)+) => {
        $crate::__private::write($crate::__private::Level::Error, ::core::format_args!($($message)+))
    };
}
