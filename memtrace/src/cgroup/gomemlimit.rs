//! GOMEMLIMIT of a Go process against the limit of its cgroup. Pure.

/// Of the limit: what Go's own guide asks to be left free.
const SPARE_PERCENT: u64 = 5;

/// What is known of one Go process and its cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Of the cgroup, with those above it.
    pub limit_bytes: Option<u64>,
    /// Of the cgroup's charge, what nobody can take back without swap.
    pub nonreclaimable_bytes: Option<u64>,
    /// `None`: off.
    pub gomemlimit_bytes: Option<u64>,
    /// What GOMEMLIMIT limits, as far as it is resident.
    pub go_bytes: u64,
    /// The same of all Go processes of the cgroup.
    pub all_go_bytes: u64,
    /// Live after the last collection.
    pub live_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The cgroup has none.
    NoLimit,
    Unset,
    AboveLimit,
    /// With what is in the cgroup beside this process's Go memory it is more than the limit.
    LeavesOutNonGo,
    /// Less than [`SPARE_PERCENT`] is left.
    TooClose,
    Fine,
}

impl Verdict {
    /// The name in every output.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::NoLimit => "no_limit",
            Verdict::Unset => "unset",
            Verdict::AboveLimit => "above_limit",
            Verdict::LeavesOutNonGo => "leaves_out_non_go",
            Verdict::TooClose => "too_close",
            Verdict::Fine => "ok",
        }
    }
}

impl Limits {
    pub fn verdict(&self) -> Verdict {
        let Some(limit) = self.limit_bytes else { return Verdict::NoLimit };
        let Some(own) = self.gomemlimit_bytes else { return Verdict::Unset };
        let needed = own.saturating_add(self.beside_bytes().unwrap_or(0));
        match needed {
            _ if own >= limit => Verdict::AboveLimit,
            _ if needed > limit => Verdict::LeavesOutNonGo,
            _ if needed > limit.saturating_sub(spare(limit)) => Verdict::TooClose,
            _ => Verdict::Fine,
        }
    }

    /// In the cgroup, not to be taken back, and not under this GOMEMLIMIT: C, mappings, stacks of threads, tmpfs, the
    /// kernel's, sockets, other processes.
    pub fn beside_bytes(&self) -> Option<u64> {
        Some(self.nonreclaimable_bytes?.saturating_sub(self.go_bytes))
    }

    /// The limit, less 5 %, less what is in the cgroup beside all Go memory; several Go processes share it by what they
    /// hold. Whole MiB. `None`: no limit, or it would not even hold what is live.
    pub fn suggested_bytes(&self) -> Option<u64> {
        let limit = self.limit_bytes?;
        let others = self.nonreclaimable_bytes?.saturating_sub(self.all_go_bytes);
        let room = limit.saturating_sub(spare(limit)).saturating_sub(others);
        let share = u128::from(room) * u128::from(self.go_bytes) / u128::from(self.all_go_bytes.max(1));
        let share = u64::try_from(share).ok()? >> 20 << 20;
        (share > self.live_bytes && share > 0).then_some(share)
    }
}

fn spare(limit_bytes: u64) -> u64 {
    limit_bytes / 100 * SPARE_PERCENT
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn each_setting_gets_its_verdict() {
        let limits = Limits {
            limit_bytes: Some(1000 * MIB),
            nonreclaimable_bytes: Some(300 * MIB),
            gomemlimit_bytes: None,
            go_bytes: 200 * MIB,
            all_go_bytes: 200 * MIB,
            live_bytes: 150 * MIB,
        };
        let of = |mib: u64| Limits { gomemlimit_bytes: Some(mib * MIB), ..limits }.verdict();
        assert_eq!(limits.verdict(), Verdict::Unset);
        assert_eq!((of(1000), of(901), of(900)), (Verdict::AboveLimit, Verdict::LeavesOutNonGo, Verdict::TooClose));
        assert_eq!((of(851), of(850)), (Verdict::TooClose, Verdict::Fine));
        assert_eq!(Limits { limit_bytes: None, ..limits }.verdict(), Verdict::NoLimit);
        assert_eq!(limits.suggested_bytes(), Some(850 * MIB));
        let suggested = Limits { gomemlimit_bytes: limits.suggested_bytes(), ..limits };
        assert_eq!(suggested.verdict(), Verdict::Fine, "what is suggested is fine");
    }

    #[test]
    fn go_processes_share_by_what_they_hold() {
        let limits = Limits {
            limit_bytes: Some(1000 * MIB),
            nonreclaimable_bytes: Some(450 * MIB),
            go_bytes: 100 * MIB,
            all_go_bytes: 400 * MIB,
            ..Limits::default()
        };
        assert_eq!(limits.suggested_bytes(), Some(225 * MIB));
        assert_eq!(limits.beside_bytes(), Some(350 * MIB), "another Go process is beside this one");
    }

    #[test]
    fn nothing_is_suggested_that_would_not_hold_the_live_heap() {
        let limits = Limits {
            limit_bytes: Some(100 * MIB),
            nonreclaimable_bytes: Some(98 * MIB),
            go_bytes: 96 * MIB,
            all_go_bytes: 96 * MIB,
            live_bytes: 95 * MIB,
            ..Limits::default()
        };
        assert_eq!(limits.suggested_bytes(), None);
        assert_eq!(Limits::default().suggested_bytes(), None);
    }
}
