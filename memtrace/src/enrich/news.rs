//! What is told to the processing thread beside the events.
use super::closeup::{Closeup, LastState};
use super::describe::Described;
use super::waterfall::Look;
use crate::aggregate::ProcessInfo;
use crate::aggregate::waterfall::Waterfall;
use crate::cgroup::Account;
use crate::cgroup::workload::Workload;
use crate::event::{PressureEvent, ProcessSample, TargetId};
use crate::goruntime::{Finder, Sample};
use crate::kernel::KernelError;
use crate::source::kmsg::KernelLine;
use crate::timeline::Point;
use std::path::PathBuf;

/// What the follower tells the processing thread.
#[derive(Clone, Debug)]
pub enum News {
    Process(ProcessInfo),
    /// A provisional target that is not meant after all.
    NotMeant(TargetId),
    /// A target that has ended, and no record said so.
    Gone(TargetId),
    Sample(Box<ProcessSample>),
    /// All of its RSS, by the first look at it and by the last.
    Waterfall(TargetId, Box<Waterfall>),
    /// For the black box: a point of a process's timeline, a close look at it, its cgroup after its death.
    Point(TargetId, Box<Point>),
    Closeup(Box<Closeup>),
    /// What its death would count as.
    Workload(TargetId, Box<Workload>),
    Account(TargetId, u64, Box<Account>),
    /// How much address space a process may have (RLIMIT_AS) whose runtime was refused memory.
    AddressSpace(TargetId, u64),
    /// Go's statistics as a killed process left, and when that was.
    Words(TargetId, u64, Box<Sample>),
    /// What it held then, by who made it.
    LastState(Box<LastState>),
    /// What the kernel's log says of an OOM kill.
    KernelLine(KernelLine),
    /// What was asked for before `since_ns` is told; and all that is known at `t_ns`.
    Beat {
        since_ns: u64,
        t_ns: u64,
    },
    /// The directory of its memory cgroup.
    Where(TargetId, Option<PathBuf>),
    /// What a cgroup or the host told, of one target.
    Pressure(Box<PressureEvent>),
    /// One line for the reader.
    Note(String),
}

#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    #[error("no process {0}")]
    Gone(u32),
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

pub(super) fn tell_refusal(pid: u32, described: &Described, tell: &mut impl FnMut(News)) {
    if let Some(why) = &described.refused {
        tell(News::Note(format!("pid {pid}: Go heap not read: {why}")));
    }
}

/// A process that is gone, or may not be looked at, has none.
pub(super) fn tell_waterfall(pid: u32, target: TargetId, finder: &mut Finder, tell: &mut impl FnMut(News)) {
    match Look::take(pid, finder) {
        Ok(look) => tell(News::Waterfall(target, Box::new(look.waterfall))),
        Err(why) => log::debug!("{why}"),
    }
}
