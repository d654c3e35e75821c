//! A guest's lines on their way into Lantern's log: marked with the plugin's name, limited in bytes
//! a second, and with the number of lines that were dropped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The longest line; the rest of it is cut off.
const MAX_LINE_BYTES: usize = 4096;

/// What a line takes in the log besides its text.
const LINE_BYTES: usize = 64;

/// The most that is looked at of one message or of one write; the rest counts as one dropped line.
const MAX_MESSAGE_BYTES: usize = 64 << 10;

const WINDOW: Duration = Duration::from_secs(1);

/// How important a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// Where the lines of all instances of one plugin go.
#[derive(Debug)]
pub(super) struct PluginLog {
    plugin: String,
    bytes_per_second: usize,
    window: Mutex<Window>,
}

/// What was let through and what was dropped since `start`.
#[derive(Debug)]
struct Window {
    start: Instant,
    bytes: usize,
    dropped_lines: u64,
}

impl PluginLog {
    pub fn new(plugin: &str, bytes_per_second: usize) -> Arc<Self> {
        let window = Window { start: Instant::now(), bytes: 0, dropped_lines: 0 };
        Arc::new(Self { plugin: plugin.into(), bytes_per_second, window: Mutex::new(window) })
    }

    /// Logs a line, unless this second's bytes are used up.
    pub fn line(&self, level: Level, line: &str) {
        self.line_at(Instant::now(), level, line);
    }

    /// Counts a line that is not logged.
    fn drop_line(&self) {
        self.renew(Instant::now()).dropped_lines += 1;
    }

    /// Says how much was dropped, once the second in which that happened is over.
    pub fn report_dropped(&self) {
        drop(self.renew(Instant::now()));
    }

    fn line_at(&self, now: Instant, level: Level, line: &str) {
        let mut window = self.renew(now);
        let bytes = line.len().min(MAX_LINE_BYTES) + LINE_BYTES;
        if window.bytes + bytes > self.bytes_per_second {
            window.dropped_lines += 1;
            return;
        }
        window.bytes += bytes;
        drop(window);
        let line = printable(line);
        let plugin = &self.plugin;
        match level {
            Level::Debug => tracing::debug!(target: "plugin", %plugin, "{line}"),
            Level::Info => tracing::info!(target: "plugin", %plugin, "{line}"),
            Level::Warn => tracing::warn!(target: "plugin", %plugin, "{line}"),
            Level::Error => tracing::error!(target: "plugin", %plugin, "{line}"),
        }
    }

    fn renew(&self, now: Instant) -> MutexGuard<'_, Window> {
        // The counters are right after every statement, so a panic elsewhere does no harm.
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(window.start) >= WINDOW {
            let dropped = std::mem::take(&mut window.dropped_lines);
            (window.start, window.bytes) = (now, 0);
            self.tell_dropped(dropped);
        }
        window
    }

    fn tell_dropped(&self, lines: u64) {
        if lines > 0 {
            let (plugin, limit) = (&self.plugin, self.bytes_per_second);
            tracing::warn!(target: "plugin", %plugin, "{lines} lines dropped: more than {limit} bytes in a second");
        }
    }
}

impl Drop for PluginLog {
    fn drop(&mut self) {
        let window = self.window.get_mut().unwrap_or_else(PoisonError::into_inner);
        let dropped = window.dropped_lines;
        self.tell_dropped(dropped);
    }
}

/// One line without control characters, not longer than [`MAX_LINE_BYTES`].
pub(super) fn printable(line: &str) -> String {
    let end = line.floor_char_boundary(MAX_LINE_BYTES);
    let mut text: String = line[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if end < line.len() {
        text.push('…');
    }
    text
}

/// What one instance says: its log lines, and its standard output and error cut into lines.
#[derive(Debug)]
pub(super) struct Voice {
    log: Arc<PluginLog>,
    output: Vec<u8>,
    error: Vec<u8>,
    last_words: Option<String>,
}

/// Which of the two streams of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Output,
    Error,
}

/// The [`Voice`] of one instance, for all who write to it.
#[derive(Clone, Debug)]
pub(super) struct SharedVoice(Arc<Mutex<Voice>>);

impl SharedVoice {
    pub fn new(log: Arc<PluginLog>) -> Self {
        Self(Arc::new(Mutex::new(Voice { log, output: Vec::new(), error: Vec::new(), last_words: None })))
    }

    /// Logs a message, each of its lines for itself.
    pub fn say(&self, level: Level, message: &str) {
        self.lock().say(level, message);
    }

    /// Takes bytes of a stream and logs the lines that they complete.
    pub fn write(&self, stream: Stream, bytes: &[u8]) {
        self.lock().write(stream, bytes);
    }

    /// Ends a call: logs lines that have no end yet, and returns the last thing that sounded like
    /// trouble during the call.
    pub fn end_call(&self) -> Option<String> {
        let mut voice = self.lock();
        voice.flush(Stream::Output);
        voice.flush(Stream::Error);
        voice.log.report_dropped();
        voice.last_words.take()
    }

    fn lock(&self) -> MutexGuard<'_, Voice> {
        // Half a line is the worst that a panic elsewhere could leave behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Voice {
    fn say(&mut self, level: Level, message: &str) {
        let end = message.floor_char_boundary(MAX_MESSAGE_BYTES);
        if end < message.len() {
            self.log.drop_line();
        }
        for line in message[..end].lines() {
            self.log.line(level, line);
            if matches!(level, Level::Warn | Level::Error) && self.tells_more(line) {
                self.last_words = Some(printable(line));
            }
        }
    }

    /// Whether a line says more of what happened than the last words so far. Behind the reason of a panic, Go prints
    /// stacks, and Rust how to get them.
    fn tells_more(&self, line: &str) -> bool {
        let is_reason = |line: &str| ["panic: ", "fatal error: "].iter().any(|start| line.starts_with(start));
        let says_nothing = line.trim().is_empty() || line.starts_with("note: run with `RUST_BACKTRACE");
        !says_nothing && (is_reason(line) || !self.last_words.as_deref().is_some_and(is_reason))
    }

    fn buffer(&mut self, stream: Stream) -> &mut Vec<u8> {
        match stream {
            Stream::Output => &mut self.output,
            Stream::Error => &mut self.error,
        }
    }

    fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let looked_at = &bytes[..bytes.len().min(MAX_MESSAGE_BYTES)];
        if looked_at.len() < bytes.len() {
            self.log.drop_line();
        }
        for part in looked_at.split_inclusive(|byte| *byte == b'\n') {
            let buffer = self.buffer(stream);
            let room = (MAX_LINE_BYTES + 1).saturating_sub(buffer.len());
            buffer.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                self.flush(stream);
            }
        }
    }

    fn flush(&mut self, stream: Stream) {
        let line = std::mem::take(self.buffer(stream));
        let level = match stream {
            Stream::Output => Level::Info,
            Stream::Error => Level::Warn,
        };
        self.say(level, &String::from_utf8_lossy(&line));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    use std::fmt::Write;
    use tracing::field::{Field, Visit};
    use tracing::span;

    /// Runs `run` and returns every line that it logged, as `LEVEL plugin: message`.
    pub fn logged(run: impl FnOnce()) -> Vec<String> {
        let lines = Arc::new(Mutex::new(Vec::new()));
        tracing::subscriber::with_default(Collector(Arc::clone(&lines)), run);
        let lines = lines.lock().expect("not poisoned");
        lines.clone()
    }

    struct Collector(Arc<Mutex<Vec<String>>>);

    #[derive(Default)]
    struct Fields {
        plugin: String,
        message: String,
    }

    impl Visit for Fields {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            let text = if field.name() == "plugin" { &mut self.plugin } else { &mut self.message };
            write!(text, "{value:?}").expect("a string takes everything");
        }
    }

    impl tracing::Subscriber for Collector {
        fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
            metadata.target() == "plugin"
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, event: &tracing::Event<'_>) {
            let mut fields = Fields::default();
            event.record(&mut fields);
            let line = format!("{} {}: {}", event.metadata().level(), fields.plugin, fields.message);
            self.0.lock().expect("not poisoned").push(line);
        }

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }

    #[test]
    fn a_stream_is_cut_into_lines_however_it_arrives() {
        let lines = logged(|| {
            let voice = SharedVoice::new(PluginLog::new("orders", 10_000));
            voice.write(Stream::Error, b"half a");
            voice.write(Stream::Output, b"out\n");
            voice.write(Stream::Error, b" line\nrest\x1b");
            assert_eq!(voice.end_call().as_deref(), Some("rest "));
            assert_eq!(voice.end_call(), None);
        });
        assert_eq!(lines, ["INFO orders: out", "WARN orders: half a line", "WARN orders: rest "]);
    }

    #[test]
    fn what_exceeds_the_limit_is_dropped_and_counted() {
        let lines = logged(|| {
            let log = PluginLog::new("orders", 2 * LINE_BYTES + 10);
            let start = Instant::now();
            for line in ["12345", "67890", "", "too"] {
                log.line_at(start, Level::Info, line);
            }
            log.line_at(start + 2 * WINDOW, Level::Info, "again and");
            log.line_at(start + 2 * WINDOW, Level::Info, "");
            log.line_at(start + 2 * WINDOW, Level::Info, "dropped");
        });
        let dropped = |count: usize| format!("WARN orders: {count} lines dropped: more than 138 bytes in a second");
        let told = ["INFO orders: 12345", "INFO orders: 67890", &dropped(2), "INFO orders: again and", "INFO orders: "];
        assert_eq!(lines[..5], told, "an empty line takes its place, too");
        assert_eq!(lines[5..], [dropped(1)]);
    }

    #[test]
    fn of_a_message_without_end_only_the_beginning_is_looked_at() {
        let lines = logged(|| {
            let voice = SharedVoice::new(PluginLog::new("orders", 1 << 30));
            voice.say(Level::Info, &"\n".repeat(10 * MAX_MESSAGE_BYTES));
            voice.write(Stream::Output, &vec![b'\n'; 10 * MAX_MESSAGE_BYTES]);
        });
        let told = lines.iter().filter(|line| line.starts_with("INFO")).count();
        assert_eq!(told, 2 * MAX_MESSAGE_BYTES);
        assert!(lines.iter().any(|line| line.contains("lines dropped")), "{:?}", lines.last());
    }

    #[test]
    fn the_reason_of_a_panic_outlasts_the_stack_behind_it() {
        let words = |lines: &[&str]| {
            let mut last = None;
            logged(|| {
                let voice = SharedVoice::new(PluginLog::new("orders", 1 << 20));
                lines.iter().for_each(|line| voice.write(Stream::Error, format!("{line}\n").as_bytes()));
                last = voice.end_call();
            });
            last
        };
        let go = ["panic: seat 7 is taken", "", "goroutine 1 [running]:", "main.go:12 +0xc"];
        assert_eq!(words(&go).as_deref(), Some("panic: seat 7 is taken"));
        let rust = ["thread panicked at src/lib.rs:3:5:", "no seats", "note: run with `RUST_BACKTRACE=1` to see more"];
        assert_eq!(words(&rust).as_deref(), Some("no seats"));
    }

    #[test]
    fn a_line_without_end_takes_no_more_than_its_limit() {
        let lines = logged(|| {
            let voice = SharedVoice::new(PluginLog::new("orders", 1 << 20));
            for _ in 0..100 {
                voice.write(Stream::Output, &[b'x'; 1000]);
            }
            voice.end_call();
        });
        assert_eq!(lines[0].len(), "INFO orders: ".len() + MAX_LINE_BYTES + '…'.len_utf8());
    }
}
