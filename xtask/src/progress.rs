//! One line when a long step starts, one when it ends; a heartbeat between for the very long ones.

use std::time::{Duration, Instant};

/// A step on the way; says how long it took when it is done.
pub(crate) struct Step {
    name: String,
    started: Instant,
}

impl Step {
    /// `about` is what the step does and roughly how long it takes.
    pub(crate) fn start(name: &str, about: &str) -> Self {
        eprintln!("{name}: {about} ...");
        Self { name: name.to_owned(), started: Instant::now() }
    }

    pub(crate) fn heartbeat(&self, note: &str) {
        eprintln!(
            "{}: {} so far{}{note}",
            self.name,
            human(self.started.elapsed()),
            if note.is_empty() { "" } else { ", " }
        );
    }

    pub(crate) fn done(self, what: &str) {
        eprintln!("{}: {what} ({})", self.name, human(self.started.elapsed()));
    }
}

/// `0.4 s`, `42 s`, `8 min 03 s`.
pub(crate) fn human(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    match seconds {
        0..=9 => format!("{:.1} s", elapsed.as_secs_f64()),
        10..=99 => format!("{seconds} s"),
        _ => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_like_a_clock() {
        assert_eq!(human(Duration::from_millis(420)), "0.4 s");
        assert_eq!(human(Duration::from_secs(42)), "42 s");
        assert_eq!(human(Duration::from_secs(483)), "8 min 03 s");
    }
}
