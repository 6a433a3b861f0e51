//! Who a target is, as rows say it: made anew only when something of it changes.
use crate::aggregate::ProcessInfo;
use crate::cgroup::workload::Workload;
use crate::event::TargetId;
use crate::sink::recording::Labels;
use std::path::PathBuf;

#[derive(Debug, Default)]
pub(super) struct Known {
    info: ProcessInfo,
    cgroup: Option<PathBuf>,
    workload: Option<Workload>,
    labels: Option<Labels>,
    /// It has had a point.
    pub(super) is_meant: bool,
}

impl Known {
    /// A record of it came before anything else was told.
    pub(super) fn of(target: TargetId, pid: u32) -> Known {
        Known { info: ProcessInfo { target, pid, ..ProcessInfo::default() }, ..Known::default() }
    }

    pub(super) fn named(&mut self, comm: String) {
        if self.info.comm.as_ref() != Some(&comm) {
            (self.info.comm, self.labels) = (Some(comm), None);
        }
    }

    /// What a later registration leaves out stays, except what an exec may have ended.
    pub(super) fn is(&mut self, info: &ProcessInfo) {
        let mut next = info.clone();
        next.start_time_ns = next.start_time_ns.or(self.info.start_time_ns);
        next.comm = next.comm.or(self.info.comm.take());
        next.exe = next.exe.or(self.info.exe.take());
        (self.info, self.labels) = (next, None);
    }

    pub(super) fn is_in(&mut self, cgroup: Option<PathBuf>) {
        if self.cgroup != cgroup {
            (self.cgroup, self.labels) = (cgroup, None);
        }
    }

    pub(super) fn counts_as(&mut self, workload: &Workload) {
        if self.workload.as_ref() != Some(workload) {
            (self.workload, self.labels) = (Some(workload.clone()), None);
        }
    }

    pub(super) fn comm(&self) -> Option<String> {
        self.info.comm.clone()
    }

    pub(super) fn labels(&mut self) -> &Labels {
        let Known { info, cgroup, workload, labels, .. } = self;
        labels.get_or_insert_with(|| Labels::of(info, cgroup.as_deref(), workload.as_ref()))
    }
}
