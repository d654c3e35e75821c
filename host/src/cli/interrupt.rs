//! Ctrl-C in commands that go on until then.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// What a shell reports for a command that Ctrl-C ended.
pub const INTERRUPTED: u8 = 130;

/// Becomes true at the first Ctrl-C, and then `wake` is called; the second one ends the process as usual.
///
/// # Errors
/// When the system does not tell of signals.
pub fn interrupted(wake: impl Fn() + Send + 'static) -> io::Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Before anything runs, so that no signal is missed.
    let mut interrupts = {
        let _context = runtime.enter();
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?
    };
    let flag = Arc::clone(&interrupted);
    thread::spawn(move || {
        runtime.block_on(async {
            while interrupts.recv().await.is_some() {
                if flag.swap(true, Ordering::Relaxed) {
                    std::process::exit(i32::from(INTERRUPTED));
                }
                wake();
            }
        });
    });
    Ok(interrupted)
}
