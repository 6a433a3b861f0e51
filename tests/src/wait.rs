//! Waiting with an end.
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The longest anything in these suites may take; generous, because two cores are shared with other work.
const PATIENCE: Duration = Duration::from_secs(60);
/// So much longer in a virtual machine without help from the processor, of which the tests are the first process.
const EMULATED: u32 = 5;
pub(crate) const PERIOD: Duration = Duration::from_millis(2);

/// When to give up.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    pub fn after(duration: Duration) -> Self {
        Self(Instant::now() + duration)
    }

    pub fn left(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

impl Default for Deadline {
    fn default() -> Self {
        let is_guest = std::process::id() == 1;
        Self::after(if is_guest { PATIENCE * EMULATED } else { PATIENCE })
    }
}

/// Raises the flag at which other threads stop; also when an assertion fails, for then they must not run on.
#[derive(Debug)]
pub struct Stops<'a>(pub &'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Asks again and again until there is an answer; panics with `what` when it is too late.
#[track_caller]
pub fn wait_until<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let deadline = Deadline::default();
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(!deadline.left().is_zero(), "waited in vain: {what}");
        std::thread::sleep(PERIOD);
    }
}
