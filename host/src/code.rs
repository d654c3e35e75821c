//! What plugin code of every kind has: a name, a digest, claims that no other file may make too, and ways to fail.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::event::Invalid;

/// The name of a plugin, and so of its projection and read model: `[a-z][a-z0-9-]{0,62}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PluginName(String);

impl PluginName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PluginName {
    type Err = Invalid;

    fn from_str(name: &str) -> Result<Self, Invalid> {
        let bytes = name.as_bytes();
        let sound = matches!(bytes.first(), Some(b'a'..=b'z'))
            && bytes.len() <= 63
            && bytes.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if sound {
            return Ok(Self(name.to_owned()));
        }
        Err(Invalid(format!(
            "{name:?} is no plugin name: use a lower-case letter, then up to 62 lower-case letters, digits and dashes"
        )))
    }
}

impl fmt::Display for PluginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// SHA-256 over a plugin's file, in lower-case hex. The identity of its code.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComponentDigest(pub String);

impl ComponentDigest {
    /// The first 12 digits, enough for people.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for ComponentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which code it was: name and digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CodeIdentity {
    pub name: PluginName,
    pub digest: ComponentDigest,
}

/// Why a call of plugin code gave no answer. The instance is then of no more use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallFailure {
    /// The guest answered with an error, or with what makes no sense.
    #[error("{0}")]
    Rejected(String),
    /// A panic, memory or stack over the limit, a wrong argument to the host.
    #[error("the plugin trapped: {0}")]
    Trapped(String),
    /// The wall-clock limit of one call is over. Says nothing about the input: the machine may be slow.
    #[error("the plugin was interrupted: {0}")]
    Interrupted(String),
    /// The deterministic limit is over; the same input gives the same answer on every machine.
    #[error("the plugin used up its fuel: {0}")]
    OutOfFuel(String),
}

/// Loaded code of any kind.
pub trait PluginCode: Send + Sync {
    fn name(&self) -> &PluginName;

    fn digest(&self) -> &ComponentDigest;

    /// What only one file may provide, in words for people, for example `category seats`. Its name besides.
    fn claims(&self) -> Vec<String>;
}

/// The code of one kind of plugin, by the file that provides it. A cheap handle.
#[derive(Debug)]
pub struct Registry<Code: ?Sized> {
    files: Arc<RwLock<BTreeMap<String, Arc<Code>>>>,
}

impl<Code: ?Sized> Clone for Registry<Code> {
    fn clone(&self) -> Self {
        Self { files: Arc::clone(&self.files) }
    }
}

impl<Code: ?Sized> Default for Registry<Code> {
    fn default() -> Self {
        Self { files: Arc::default() }
    }
}

/// Another file provides the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the file {file} provides {claim} already; remove one of the two")]
pub struct Taken {
    pub file: String,
    pub claim: String,
}

impl<Code: PluginCode + ?Sized> Registry<Code> {
    /// Takes the code in the place of what the file provided before; whoever holds that may finish with it.
    ///
    /// # Errors
    /// When another file makes one of the code's claims; nothing changes then.
    pub fn install(&self, file: &str, code: Arc<Code>) -> Result<(), Taken> {
        let claims = claims(&*code);
        let mut files = self.write();
        for (other, installed) in files.iter().filter(|(other, _)| *other != file) {
            let mut both = self::claims(&**installed).into_iter().filter(|claim| claims.contains(claim));
            if let Some(claim) = both.next() {
                return Err(Taken { file: other.clone(), claim });
            }
        }
        files.insert(file.to_owned(), code);
        Ok(())
    }

    /// Puts the same code, compiled better, in its place, if it still has one.
    pub fn renew(&self, code: Arc<Code>) {
        if let Some(old) = self.write().values_mut().find(|old| old.digest() == code.digest()) {
            *old = code;
        }
    }

    /// Whether the file provided something.
    pub fn remove(&self, file: &str) -> bool {
        self.write().remove(file).is_some()
    }

    pub fn provides(&self, file: &str) -> bool {
        self.read().contains_key(file)
    }

    /// The code for which `wanted` answers true.
    pub fn find(&self, mut wanted: impl FnMut(&Code) -> bool) -> Option<Arc<Code>> {
        self.read().values().find(|code| wanted(code)).cloned()
    }

    /// All of it, by name.
    pub fn list(&self) -> Vec<Arc<Code>> {
        self.list_except("")
    }

    /// What other files provide, by name.
    pub fn list_except(&self, file: &str) -> Vec<Arc<Code>> {
        let files = self.read();
        let mut list: Vec<_> = files.iter().filter(|(other, _)| *other != file).map(|(_, code)| code.clone()).collect();
        list.sort_by(|a, b| a.name().cmp(b.name()));
        list
    }

    // A panic elsewhere cannot leave the map half-changed: every change is one call.
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, Arc<Code>>> {
        self.files.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Arc<Code>>> {
        self.files.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn claims<Code: PluginCode + ?Sized>(code: &Code) -> Vec<String> {
    let mut claims = code.claims();
    claims.push(format!("the plugin {}", code.name()));
    claims
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Coded(PluginName, ComponentDigest, Vec<String>);

    impl PluginCode for Coded {
        fn name(&self) -> &PluginName {
            &self.0
        }

        fn digest(&self) -> &ComponentDigest {
            &self.1
        }

        fn claims(&self) -> Vec<String> {
            self.2.clone()
        }
    }

    fn code(name: &str, claims: &[&str]) -> Arc<Coded> {
        let claims = claims.iter().map(|claim| (*claim).to_owned()).collect();
        Arc::new(Coded(name.parse().expect("a name"), ComponentDigest(name.into()), claims))
    }

    #[test]
    fn a_name_has_small_letters_digits_and_dashes_only() {
        for name in ["a", "seat-board-2", &format!("a{}", "b".repeat(62))] {
            assert!(name.parse::<PluginName>().is_ok(), "{name} was refused");
        }
        for name in ["", "A", "1a", "-a", "a_b", "a b", "é", &"a".repeat(64)] {
            assert!(name.parse::<PluginName>().is_err(), "{name} was taken");
        }
    }

    #[test]
    fn what_one_file_provides_no_other_file_may_until_it_goes() {
        let registry = Registry::default();
        registry.install("a.wasm", code("a", &["category seat", "category cart"])).expect("taken");
        let taken = |claim: &str| Err(Taken { file: "a.wasm".into(), claim: claim.into() });
        assert_eq!(registry.install("b.wasm", code("b", &["category cart"])), taken("category cart"));
        assert_eq!(registry.install("b.wasm", code("a", &[])), taken("the plugin a"));
        assert!(!registry.provides("b.wasm"));
        registry.install("a.wasm", code("a", &["category seat"])).expect("its own claims are no hindrance");
        registry.install("b.wasm", code("b", &["category cart"])).expect("the claim is free");
        assert!(registry.remove("a.wasm") && !registry.remove("a.wasm"));
        assert_eq!(registry.list().iter().map(|code| code.name().as_str()).collect::<Vec<_>>(), ["b"]);
        assert!(registry.find(|code| code.2.contains(&"category cart".to_owned())).is_some());
    }
}
