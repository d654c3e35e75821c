//! The upcasters of the plugin folder, by the file that provides them, and what they are together right now.

use std::sync::{Arc, PoisonError, RwLock};

use super::{Circle, UpcastLimits, UpcasterCode, Upcasters};
use crate::code::{ComponentDigest, Registry, Taken};

/// All upcasters of a daemon. A cheap handle.
#[derive(Clone, Default)]
pub struct UpcasterRegistry {
    files: Registry<dyn UpcasterCode>,
    present: Arc<RwLock<Upcasters>>,
    limits: UpcastLimits,
}

/// Why a file's upcaster is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotInstalled {
    #[error(transparent)]
    Taken(#[from] Taken),
    #[error(transparent)]
    Circle(#[from] Circle),
}

impl UpcasterRegistry {
    pub fn new(limits: UpcastLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// All upcasters as they are now. Whoever holds them may finish with them when others come.
    pub fn present(&self) -> Upcasters {
        self.present.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the code in the place of what the file provided before.
    ///
    /// # Errors
    /// When another file takes one of its sources, or with the others it would turn in a circle; nothing changes then.
    pub fn install(&self, file: &str, code: Arc<dyn UpcasterCode>) -> Result<(), NotInstalled> {
        let mut codes = self.files.list_except(file);
        codes.push(Arc::clone(&code));
        let together = Upcasters::new(codes, self.limits)?;
        self.files.install(file, code)?;
        self.set(together);
        Ok(())
    }

    /// Puts the same code, compiled better, in its place, if it still has one.
    pub fn renew(&self, code: Arc<dyn UpcasterCode>) {
        self.files.renew(code);
        self.refresh();
    }

    /// Whether the file provided an upcaster.
    pub fn remove(&self, file: &str) -> bool {
        let removed = self.files.remove(file);
        self.refresh();
        removed
    }

    pub fn provides(&self, file: &str) -> bool {
        self.files.provides(file)
    }

    pub fn runs(&self, digest: &ComponentDigest) -> bool {
        self.files.find(|code| code.digest() == digest).is_some()
    }

    fn refresh(&self) {
        // Taking some away makes no circle.
        if let Ok(together) = Upcasters::new(self.files.list(), self.limits) {
            self.set(together);
        }
    }

    fn set(&self, together: Upcasters) {
        *self.present.write().unwrap_or_else(PoisonError::into_inner) = together;
    }
}
