//! Where loaded code goes, by its kind: projections run by themselves, everything else is asked when it is needed.

use std::sync::Arc;

use super::components::Components;
use crate::aggregate::AggregateCode;
use crate::code::{ComponentDigest, PluginCode, Registry, Taken};
use crate::conflict::ConflictResolverCode;
use crate::plugin::{LoadedCode, PluginHost};
use crate::projection::Projections;
use crate::upcast::{UpcasterCode, UpcasterRegistry};

/// Everything that plugins provide. A cheap handle.
#[derive(Clone)]
pub(super) struct Kinds {
    pub projections: Projections,
    pub conflict_resolvers: Registry<dyn ConflictResolverCode>,
    pub upcasters: UpcasterRegistry,
    pub aggregates: Registry<dyn AggregateCode>,
}

impl Kinds {
    /// Takes the code in the place of what the file provided before, of whatever kind that was. Answers in a word
    /// what came of it.
    ///
    /// # Errors
    /// Says why not; what the file provided before goes on then.
    pub fn install(&self, file: &str, code: LoadedCode) -> Result<String, String> {
        let refused = |taken: Taken| taken.to_string();
        let (kind, installed) = match code {
            LoadedCode::Projection(code) => {
                let installed = self.projections.install(file, code).map_err(|error| error.to_string())?;
                (Kind::Projection, format!("{installed:?}").to_lowercase())
            }
            LoadedCode::ConflictResolver(code) => {
                (Kind::ConflictResolver, install(&self.conflict_resolvers, file, code).map_err(refused)?)
            }
            LoadedCode::Upcaster(code) => (Kind::Upcaster, self.install_upcaster(file, code)?),
            LoadedCode::Aggregate(code) => (Kind::Aggregate, install(&self.aggregates, file, code).map_err(refused)?),
        };
        self.remove_except(file, Some(kind));
        Ok(installed)
    }

    /// Whether the file provided something.
    pub fn remove(&self, file: &str) -> bool {
        self.remove_except(file, None)
    }

    /// Goes on with what the file provided before, even after a restart. Whether there is such.
    pub fn keep(&self, file: &str, components: &Components, host: &PluginHost) -> bool {
        let provides =
            self.conflict_resolvers.provides(file) || self.upcasters.provides(file) || self.aggregates.provides(file);
        let kept = match components.remembered(file).filter(|_| !provides) {
            Some(digest) => components.load(host, &digest).and_then(|code| self.install(file, code)).map(|_| true),
            None if provides => Ok(true),
            None => self.projections.keep_active(file).map_err(|error| error.to_string()),
        };
        kept.unwrap_or_else(|error| {
            tracing::warn!(plugin = file, %error, "the code that was active before cannot go on");
            false
        })
    }

    /// Has everything that runs this code go on with it as it is now: the same, and compiled better.
    pub fn renew(&self, code: LoadedCode) {
        match code {
            LoadedCode::Projection(code) => self.projections.renew(&code),
            LoadedCode::ConflictResolver(code) => self.conflict_resolvers.renew(code),
            LoadedCode::Upcaster(code) => self.upcasters.renew(code),
            LoadedCode::Aggregate(code) => self.aggregates.renew(code),
        }
    }

    /// Whether anything runs this code.
    pub fn runs(&self, digest: &ComponentDigest) -> bool {
        self.projections.digests().contains(digest)
            || self.conflict_resolvers.find(|code| code.digest() == digest).is_some()
            || self.upcasters.runs(digest)
            || self.aggregates.find(|code| code.digest() == digest).is_some()
    }

    fn install_upcaster(&self, file: &str, code: Arc<dyn UpcasterCode>) -> Result<String, String> {
        let installed = if self.upcasters.provides(file) { "swapped" } else { "new" };
        self.upcasters.install(file, code).map_err(|error| error.to_string())?;
        Ok(installed.to_owned())
    }

    fn remove_except(&self, file: &str, kept: Option<Kind>) -> bool {
        let remove = |kind, remove: &dyn Fn() -> bool| kept != Some(kind) && remove();
        // Not lazily: each has to be asked.
        [
            remove(Kind::Projection, &|| self.projections.remove(file).is_some()),
            remove(Kind::ConflictResolver, &|| self.conflict_resolvers.remove(file)),
            remove(Kind::Upcaster, &|| self.upcasters.remove(file)),
            remove(Kind::Aggregate, &|| self.aggregates.remove(file)),
        ]
        .contains(&true)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Projection,
    ConflictResolver,
    Upcaster,
    Aggregate,
}

fn install<Code: PluginCode + ?Sized>(registry: &Registry<Code>, file: &str, code: Arc<Code>) -> Result<String, Taken> {
    let installed = if registry.provides(file) { "swapped" } else { "new" };
    registry.install(file, code).map(|()| installed.to_owned())
}
