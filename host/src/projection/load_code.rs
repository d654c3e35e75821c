//! Code that is no longer in the plugin folder and that a build still needs.

use std::sync::Arc;

use super::ProjectionCode;
use super::supervisor::Projections;
use super::upcasting::Upcasted;
use crate::code::ComponentDigest;
use crate::upcast::UpcasterCode;

/// Finds code by the digest of its file, when a build needs code that is no longer in the folder.
pub trait LoadCode: Send + Sync {
    /// # Errors
    /// Says why there is none.
    fn projection(&self, digest: &ComponentDigest) -> Result<Arc<dyn ProjectionCode>, String>;

    /// # Errors
    /// Says why there is none.
    fn upcaster(&self, digest: &ComponentDigest) -> Result<Arc<dyn UpcasterCode>, String>;
}

/// Knows no upcasters.
impl<Load> LoadCode for Load
where
    Load: Fn(&ComponentDigest) -> Result<Arc<dyn ProjectionCode>, String> + Send + Sync,
{
    fn projection(&self, digest: &ComponentDigest) -> Result<Arc<dyn ProjectionCode>, String> {
        self(digest)
    }

    fn upcaster(&self, digest: &ComponentDigest) -> Result<Arc<dyn UpcasterCode>, String> {
        Err(format!("no code of the upcaster {digest} is kept"))
    }
}

impl Projections {
    /// The code of the active build with its upcasters, when it is needed and they are not those of now.
    pub(super) fn code_of_active(&self, name: &str, new: &Arc<dyn ProjectionCode>) -> Option<Arc<dyn ProjectionCode>> {
        let (active, present) = {
            let all = self.shared.lock();
            let managed = all.projections.get(name)?;
            if managed.active.worker.is_some() || managed.fits_active(&Upcasted::of(new, &all.upcasters)) {
                return None;
            }
            (managed.entry.active.clone(), all.upcasters.clone())
        };
        let load_code = &self.shared.load_code;
        let load = || {
            let upcasters =
                active.upcasters.iter().map(|code| load_code.upcaster(&code.digest)).collect::<Result<_, _>>()?;
            let upcasters = present.others(upcasters).map_err(|circle| circle.to_string())?;
            let code =
                if active.digest == *new.digest() { Arc::clone(new) } else { load_code.projection(&active.digest)? };
            Ok(Upcasted::of(&code, &upcasters))
        };
        load()
            .inspect_err(|reason: &String| {
                tracing::warn!(projection = %name, digest = %active.digest, %reason, "the active code is gone; its read model stays as it is until the replay ends");
            })
            .ok()
    }
}
