//! The loss identities: every event is accounted for, and every output carries the sums.
//!
//! `hits = filtered + submitted + ring_full + read_failed` (kernel) and
//! `received = shed + decoded + decode_errors` (user side), exact once the probes are detached and the rings drained.

/// Counts of one kernel program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgramAccount {
    pub name: String,
    pub hits: u64,
    pub filtered: u64,
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
            let sum = p.filtered + p.submitted + p.ring_full + p.read_failed;
            if p.hits != sum {
                out.push(format!("{}: hits {} != filtered+submitted+ring_full+read_failed {sum}", p.name, p.hits));
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
