//! How much memory one instance may take. Says afterwards which limit was hit, because a guest
//! seldom does.

use wasmtime::ResourceLimiter;

/// The limits of one instance, over all its memories and tables together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub memory_bytes: usize,
    pub table_elements: usize,
    pub max_instances: usize,
    pub max_memories: usize,
    pub max_tables: usize,
}

/// Counts what one store takes.
#[derive(Debug)]
pub(super) struct Limiter {
    limits: Limits,
    memory_bytes: usize,
    table_elements: usize,
    refused: Option<String>,
}

impl Limiter {
    pub fn new(limits: Limits) -> Self {
        Self { limits, memory_bytes: 0, table_elements: 0, refused: None }
    }

    /// Which limit was hit since the last call of this function.
    pub fn take_refused(&mut self) -> Option<String> {
        self.refused.take()
    }

    /// Which limit Wasmtime means, where it does not ask this limiter.
    pub fn name_limit(&self, error: &str) -> Option<String> {
        let Limits { memory_bytes, max_tables, .. } = self.limits;
        if error.starts_with("resource limit exceeded") {
            return Some(format!("the limit max_tables is {max_tables}"));
        }
        let copies_too_much = error.starts_with("too much data is being copied");
        copies_too_much.then(|| format!("for a call of the host, too, the limit memory_mib is {}", memory_bytes >> 20))
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        if total > self.limits.memory_bytes {
            self.refused = Some(format!(
                "it asked for {} MiB of memory and the limit memory_mib is {}",
                total.div_ceil(1 << 20),
                self.limits.memory_bytes >> 20
            ));
            return Ok(false);
        }
        let allowed = maximum.is_none_or(|maximum| desired <= maximum);
        if allowed {
            self.memory_bytes = total;
        }
        Ok(allowed)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.table_elements.saturating_add(desired.saturating_sub(current));
        if total > self.limits.table_elements {
            self.refused = Some(format!(
                "it asked for tables of {total} elements and the limit max_table_elements is {}",
                self.limits.table_elements
            ));
            return Ok(false);
        }
        let allowed = maximum.is_none_or(|maximum| desired <= maximum);
        if allowed {
            self.table_elements = total;
        }
        Ok(allowed)
    }

    fn instances(&self) -> usize {
        self.limits.max_instances
    }

    fn tables(&self) -> usize {
        self.limits.max_tables
    }

    fn memories(&self) -> usize {
        self.limits.max_memories
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_counts_all_memories_together() {
        let limits =
            Limits { memory_bytes: 2 << 20, table_elements: 10, max_instances: 1, max_memories: 2, max_tables: 1 };
        let mut limiter = Limiter::new(limits);
        assert!(limiter.memory_growing(0, 1 << 20, None).expect("answers"));
        assert!(!limiter.memory_growing(0, 1 << 20, Some(1)).expect("answers"), "over its own maximum");
        assert_eq!(limiter.take_refused(), None);
        assert!(limiter.memory_growing(0, 1 << 20, None).expect("answers"));
        assert!(!limiter.memory_growing(1 << 20, 2 << 20, None).expect("answers"));
        assert_eq!(
            limiter.take_refused().as_deref(),
            Some("it asked for 3 MiB of memory and the limit memory_mib is 2")
        );
        assert!(!limiter.table_growing(0, 11, None).expect("answers"));
    }
}
