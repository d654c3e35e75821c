//! What hostile plugins do, where Lantern stops them, and what it says then.

pub mod apply;
pub mod describe;
pub mod flush;
pub mod load;

use crate::guest::Guest;

/// A hostile plugin, named by its crime.
pub struct Crime {
    pub name: &'static str,
    pub file: Vec<u8>,
    pub stopped: Stage,
    /// Part of the reason that people are shown.
    pub said: &'static str,
}

/// How far a hostile plugin gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing of it runs.
    Load,
    /// It is not taken.
    Describe,
    /// The events are parked.
    Apply,
    Flush,
}

impl Stage {
    /// Whether the file is refused.
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::Load | Self::Describe)
    }
}

/// A crime that a guest commits. Its name is the plugin's.
fn crime(stopped: Stage, name: &'static str, guest: impl FnOnce(&'static str) -> Guest, said: &'static str) -> Crime {
    Crime { name, file: guest(name).build(), stopped, said }
}

/// Every crime.
pub fn all() -> Vec<Crime> {
    [load::crimes(), describe::crimes(), apply::crimes(), flush::crimes()].into_iter().flatten().collect()
}

/// Runs for ever.
const FOR_EVER: &str = "(loop $for_ever (br $for_ever))";
