//! What the probes copy, and walk, of a target on its way out.
use super::targets::{ignore_absent, is_full};
use super::{Kernel, KernelError, map_error};
use aya::Pod;
use aya::maps::{HashMap, MapData};
use memtrace_common::names::map;
use memtrace_common::records::{WalkPlan, WordPlan};

const BPF_ANY: u64 = 0;

impl Kernel {
    /// What is copied of a target when SIGKILL ends it; exec withdraws it. Without room for it, nothing.
    pub fn set_words(&mut self, tgid: u32, plan: &WordPlan) -> Result<(), KernelError> {
        self.due(map::WORD_PLANS, map::WORDS_DUE, tgid, plan)
    }

    /// The same for what is walked, where anything is.
    pub fn set_walk(&mut self, tgid: u32, plan: &WalkPlan) -> Result<(), KernelError> {
        if self.walks { self.due(map::WALK_PLANS, map::WALKS_DUE, tgid, plan) } else { Ok(()) }
    }

    /// Nothing is copied of it, nor walked.
    pub fn withdraw_words(&mut self, tgid: u32) -> Result<(), KernelError> {
        for due in [map::WORDS_DUE, map::WALKS_DUE] {
            ignore_absent(due, self.words::<u32>(due)?.remove(&tgid))?;
        }
        ignore_absent(map::WORD_PLANS, self.words::<WordPlan>(map::WORD_PLANS)?.remove(&tgid))?;
        ignore_absent(map::WALK_PLANS, self.words::<WalkPlan>(map::WALK_PLANS)?.remove(&tgid))
    }

    fn due<V: Pod>(&mut self, plans: &'static str, due: &'static str, tgid: u32, plan: &V) -> Result<(), KernelError> {
        let planned = self.words::<V>(plans)?.insert(tgid, plan, BPF_ANY);
        if planned.as_ref().is_err_and(is_full) {
            self.words_full += 1;
            return Ok(());
        }
        planned.map_err(map_error(plans))?;
        // Last: from here on it is copied.
        self.words(due)?.insert(tgid, 1_u32, BPF_ANY).map_err(map_error(due))
    }

    fn words<V: Pod>(&mut self, name: &'static str) -> Result<HashMap<&mut MapData, u32, V>, KernelError> {
        let map = self.ebpf.map_mut(name).ok_or(KernelError::Absent(name))?;
        HashMap::try_from(map).map_err(map_error(name))
    }
}
