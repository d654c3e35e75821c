//! The plugins that are dropped in while the daemon dies, and what each of them makes of an event.

use lantern_tests::plugin;
use sha2::{Digest, Sha256};

/// A plugin of `tests/plugins/`. All provide the same projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edition {
    First,
    /// The read-model version of the first with other code.
    Changed,
    /// Another read-model version.
    Second,
}

impl Edition {
    pub const ALL: [Self; 3] = [Self::First, Self::Changed, Self::Second];

    /// What a deposit adds to a balance.
    pub fn credited(self, amount: i64) -> i64 {
        match self {
            Self::First => amount,
            Self::Changed => 2 * amount,
            Self::Second => 100 * amount,
        }
    }

    pub fn read_model_version(self) -> u64 {
        match self {
            Self::First | Self::Changed => 1,
            Self::Second => 2,
        }
    }

    /// The content of the plugin's file.
    pub fn file(self) -> Vec<u8> {
        plugin(match self {
            Self::First => "accounts-first",
            Self::Changed => "accounts-changed",
            Self::Second => "accounts-second",
        })
    }

    /// What the daemon calls the file's code.
    pub fn digest(self) -> String {
        Sha256::digest(self.file()).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
