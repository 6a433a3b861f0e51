//! What memtrace may hold in memory: where it would be more, histories become shorter. Pure: it knows neither clock nor /proc.
use super::{BlackBox, BlackBoxConfig, Trigger};

/// Of one process; less is no history.
const SHORTEST_BYTES: usize = 8 << 10;
/// Judged so often.
const EVERY_NS: u64 = 1_000_000_000;
/// What was freed goes back to the kernel so often: most of it was needed once, as when everybody was met.
const GIVES_BACK_NS: u64 = 60_000_000_000;
/// Longer again after so long with half of what is allowed.
const CALM_NS: u64 = 600_000_000_000;

/// See the module; all numbers are bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ration {
    /// RSS of memtrace itself; `None`: whatever it takes.
    pub max_rss_bytes: Option<u64>,
    /// Of the timeline of one process, now.
    pub timeline_bytes: u64,
    /// How often histories were made shorter.
    pub shortened: u64,
    /// `black_box.max_bytes_per_process`.
    pub(crate) full_bytes: u64,
    pub(crate) changed_ns: u64,
    pub(crate) due_ns: u64,
    pub(crate) gives_back_ns: u64,
    pub(crate) is_exhausted: bool,
}

/// What is said of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rationed {
    Shorter,
    Longer,
    /// They are as short as they may be, and it is still too much: said once.
    Exhausted,
}

impl Ration {
    pub(super) fn new(max_rss_bytes: Option<u64>, full_bytes: usize) -> Ration {
        let full_bytes = full_bytes as u64;
        Ration { max_rss_bytes, timeline_bytes: full_bytes, full_bytes, ..Ration::default() }
    }

    fn judge(&mut self, t_ns: u64, rss_bytes: u64) -> Option<Rationed> {
        let max_bytes = self.max_rss_bytes?;
        let shortest_bytes = self.full_bytes.min(SHORTEST_BYTES as u64);
        if rss_bytes > max_bytes {
            if self.timeline_bytes <= shortest_bytes {
                return (!std::mem::replace(&mut self.is_exhausted, true)).then_some(Rationed::Exhausted);
            }
            self.timeline_bytes = (self.timeline_bytes / 2).max(shortest_bytes);
            self.shortened += 1;
            self.changed_ns = t_ns;
            return Some(Rationed::Shorter);
        }
        self.is_exhausted = false;
        if rss_bytes > max_bytes / 2 {
            self.changed_ns = t_ns;
        }
        let is_calm = t_ns.saturating_sub(self.changed_ns) >= CALM_NS;
        if !is_calm || self.timeline_bytes == self.full_bytes {
            return None;
        }
        self.timeline_bytes = (self.timeline_bytes * 2).min(self.full_bytes);
        self.changed_ns = t_ns;
        Some(Rationed::Longer)
    }
}

impl BlackBox {
    /// The settings that count at once.
    pub fn settle(&mut self, triggers: Vec<Trigger>, headroom_percent: u64, max_processes: usize, max_rss_bytes: u64) {
        self.aggregator.hold(max_processes);
        self.config = BlackBoxConfig { triggers, headroom_percent, max_processes, ..self.config };
        self.ration.max_rss_bytes = self.ration.max_rss_bytes.map(|_| max_rss_bytes);
    }

    /// It is time for freed memory to go back to the kernel.
    pub fn gives_back(&mut self, t_ns: u64) -> bool {
        let due_ns = self.ration.gives_back_ns;
        if self.ration.max_rss_bytes.is_none() || t_ns < due_ns {
            return false;
        }
        self.ration.gives_back_ns = t_ns + GIVES_BACK_NS;
        // Not at the very first.
        due_ns > 0
    }

    /// `rss_bytes`: asks for that of memtrace itself. What has changed because of it, and what a timeline may take since then.
    pub fn ration(&mut self, t_ns: u64, rss_bytes: impl FnOnce() -> Option<u64>) -> Option<(Rationed, u64)> {
        if self.ration.max_rss_bytes.is_none() || t_ns < self.ration.due_ns {
            return None;
        }
        self.ration.due_ns = t_ns + EVERY_NS;
        let rationed = self.ration.judge(t_ns, rss_bytes()?)?;
        let bytes = self.ration.timeline_bytes;
        self.config.timeline.max_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let max_bytes = self.config.timeline.max_bytes;
        self.watched.values_mut().for_each(|watched| watched.timeline.limit(max_bytes));
        Some((rationed, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;
    const MIB: u64 = 1 << 20;

    #[test]
    fn histories_are_halved_until_it_is_enough_and_grow_again_when_there_is_room() {
        let mut ration = Ration::new(Some(100 * MIB), 32 << 10);
        let mut judge = |second: u64, rss: u64| (ration.judge(second * S, rss * MIB), ration.timeline_bytes >> 10);
        assert_eq!(judge(1, 100), (None, 32));
        assert_eq!(judge(2, 101), (Some(Rationed::Shorter), 16));
        assert_eq!(judge(3, 101), (Some(Rationed::Shorter), 8));
        assert_eq!(judge(4, 101), (Some(Rationed::Exhausted), 8));
        assert_eq!(judge(5, 101), (None, 8), "said once");
        assert_eq!(judge(6, 60), (None, 8));
        assert_eq!(judge(605, 50), (None, 8), "calm since 6 only");
        assert_eq!(judge(606, 50), (Some(Rationed::Longer), 16));
        assert_eq!(judge(1206, 50), (Some(Rationed::Longer), 32));
        assert_eq!(judge(2000, 50), (None, 32));
        assert_eq!(ration.shortened, 2);
        let mut free = Ration::new(None, 32 << 10);
        assert_eq!(free.judge(S, u64::MAX), None);
    }
}
