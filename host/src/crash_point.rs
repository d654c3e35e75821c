//! Named places where the process ends on request, as if it had been killed there. The tests end it at every one of them
//! and look at what is left. Nobody else asks for it, and then a place costs one look at memory.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// `NAME`, or `NAME:N` for the N-th time that the place is reached.
const VARIABLE: &str = "LANTERN_CRASH_AT";

struct CrashAt {
    name: String,
    /// How often the place may still be reached.
    left: AtomicU64,
}

static CRASH_AT: LazyLock<Option<CrashAt>> = LazyLock::new(|| CrashAt::parse(&std::env::var(VARIABLE).ok()?));

/// What a test does at a place.
#[cfg(test)]
type Watch = Option<Box<dyn Fn(&str)>>;

#[cfg(test)]
thread_local! {
    static WATCH: std::cell::RefCell<Watch> = const { std::cell::RefCell::new(None) };
}

/// From now on this is called with the name of every place that this thread reaches.
#[cfg(test)]
pub fn watch(watch: Watch) {
    WATCH.set(watch);
}

/// Ends the process at once, with nothing unwound, flushed or cleaned up, if it is asked to end here.
pub fn reached(name: &str) {
    #[cfg(test)]
    WATCH.with_borrow(|watch| watch.iter().for_each(|watch| watch(name)));
    if let Some(crash_at) = &*CRASH_AT
        && crash_at.is_now(name)
    {
        std::process::abort();
    }
}

impl CrashAt {
    /// None for what is no name and number: then nothing crashes.
    fn parse(text: &str) -> Option<Self> {
        let (name, times) = text.split_once(':').unwrap_or((text, "1"));
        Some(Self { name: name.to_owned(), left: AtomicU64::new(times.parse().ok()?) })
    }

    fn is_now(&self, name: &str) -> bool {
        self.name == name && self.left.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_the_end_only_by_its_name_and_when_it_is_reached_for_the_nth_time() {
        let first = CrashAt::parse("append-committed").expect("a name");
        assert!(!first.is_now("append-written"));
        assert!(first.is_now("append-committed"));
        let third = CrashAt::parse("append-committed:3").expect("a name and a number");
        assert_eq!([0; 4].map(|_| third.is_now("append-committed")), [false, false, true, false]);
        assert!(CrashAt::parse("append-committed:often").is_none());
    }
}
