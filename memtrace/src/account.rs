//! The loss identities: every event is accounted for, and every output carries the sums.
//!
//! `hits = filtered + summed + submitted + ring_full + read_failed` (kernel) and
//! `received = shed + decoded + decode_errors` (user side), exact once the probes are detached and the rings drained.

/// Counts of one kernel program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgramAccount {
    pub name: String,
    pub hits: u64,
    pub filtered: u64,
    /// Added up in the kernel.
    pub summed: u64,
    pub submitted: u64,
    pub ring_full: u64,
    pub read_failed: u64,
}

/// Counts of all programs and of the user side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    pub programs: Vec<ProgramAccount>,
    /// Records taken out of the rings.
    pub received: u64,
    /// Received but dropped because a queue in user space was full.
    pub shed: u64,
    pub decoded: u64,
    pub decode_errors: u64,
    /// Runs of programs that the kernel itself left out, of any process: hits of no program. Known at the end of a run, on
    /// kernels that count them; not part of [`Account::lost`], since nobody can say how many of them concerned a target.
    pub skipped_runs: Option<u64>,
    /// What an exporter has done with it; `None`: there is none. Not part of [`Account::lost`]: it is what was made of it.
    pub exported: Option<Exported>,
}

/// Counts of an exporter, by what it sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    pub metrics: Sent,
    pub logs: Sent,
    pub failed_attempts: u64,
    pub queue_bytes: u64,
}

/// Of data points, or log records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    pub sent: u64,
    /// Dropped: there was no room, the endpoint refused all of it, or some of what it took.
    pub queue_full: u64,
    pub refused: u64,
    pub rejected: u64,
}

impl Sent {
    pub fn dropped(&self) -> u64 {
        self.queue_full + self.refused + self.rejected
    }
}

impl Account {
    fn sum(&self, field: impl Fn(&ProgramAccount) -> u64) -> u64 {
        self.programs.iter().map(field).sum()
    }

    pub fn hits(&self) -> u64 {
        self.sum(|p| p.hits)
    }

    pub fn filtered(&self) -> u64 {
        self.sum(|p| p.filtered)
    }

    pub fn summed(&self) -> u64 {
        self.sum(|p| p.summed)
    }

    pub fn submitted(&self) -> u64 {
        self.sum(|p| p.submitted)
    }

    pub fn ring_full(&self) -> u64 {
        self.sum(|p| p.ring_full)
    }

    pub fn read_failed(&self) -> u64 {
        self.sum(|p| p.read_failed)
    }

    /// The sum of the unintended losses.
    pub fn lost(&self) -> u64 {
        self.ring_full() + self.read_failed() + self.shed + self.decode_errors
    }

    /// The identities that do not hold, in words; empty when all do. Only meaningful after detach and drain.
    pub fn violations(&self) -> Vec<String> {
        let mut out = Vec::new();
        for p in &self.programs {
            let sum = p.filtered + p.summed + p.submitted + p.ring_full + p.read_failed;
            if p.hits != sum {
                let parts = "filtered+summed+submitted+ring_full+read_failed";
                out.push(format!("{}: hits {} != {parts} {sum}", p.name, p.hits));
            }
        }
        let submitted = self.submitted();
        if submitted != self.received {
            out.push(format!("submitted {submitted} != received {}", self.received));
        }
        let sum = self.shed + self.decoded + self.decode_errors;
        if self.received != sum {
            out.push(format!("received {} != shed+decoded+decode_errors {sum}", self.received));
        }
        out
    }
}
