//! Instances of resolvers between two decisions. One whose code was replaced is not used again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{ConflictResolver, ConflictResolverCode};
use crate::code::CallFailure;

type Idle = (Arc<dyn ConflictResolverCode>, Box<dyn ConflictResolver>);

pub(super) struct Instances {
    idle: Mutex<Vec<Idle>>,
    most: usize,
}

impl Instances {
    pub fn new(most: usize) -> Self {
        Self { idle: Mutex::default(), most }
    }

    /// Asks an idle or a fresh instance of the code. It is kept if it answers and there is room.
    pub fn with<Answer>(
        &self,
        code: &Arc<dyn ConflictResolverCode>,
        is_current: impl Fn(&dyn ConflictResolverCode) -> bool,
        ask: impl FnOnce(&mut dyn ConflictResolver) -> Result<Answer, CallFailure>,
    ) -> Result<Answer, CallFailure> {
        let mut instance = match self.take(code) {
            Some(instance) => instance,
            None => code.instantiate()?,
        };
        let answer = ask(&mut *instance)?;
        let mut idle = self.idle();
        idle.retain(|(code, _)| is_current(&**code));
        if idle.len() < self.most && is_current(&**code) {
            idle.push((Arc::clone(code), instance));
        }
        Ok(answer)
    }

    fn take(&self, wanted: &Arc<dyn ConflictResolverCode>) -> Option<Box<dyn ConflictResolver>> {
        let mut idle = self.idle();
        let place = idle.iter().position(|(code, _)| Arc::ptr_eq(code, wanted))?;
        Some(idle.swap_remove(place).1)
    }

    // A panic elsewhere cannot leave the list half-changed.
    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
