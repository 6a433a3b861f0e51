//! What `memtrace cgroup` shows.
use crate::cgroup::Account;
use crate::cgroup::gomemlimit::Limits;
use crate::cgroup::identity::Identity;
use crate::cgroup::kubelet::Names;
use crate::cgroup::reconcile::Reconciliation;
use crate::enrich::members::Member;

#[derive(Clone, Debug, Default)]
pub struct CgroupReport {
    pub t_ns: u64,
    pub account: Account,
    /// Its path inside the hierarchy, as far as it is seen from here.
    pub place: String,
    pub identity: Identity,
    pub names: Option<Names>,
    /// It and those below it.
    pub cgroups: usize,
    /// By RSS, largest first.
    pub members: Vec<MemberRow>,
    pub reconciliation: Option<Reconciliation>,
    /// How far the charge moved while it was looked at.
    pub moved_bytes: u64,
    /// Frame by frame, not by sums.
    pub by_frames: bool,
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct MemberRow {
    pub member: Member,
    pub go: Option<GoMember>,
}

/// A member that is a Go program.
#[derive(Clone, Debug)]
pub struct GoMember {
    pub version: String,
    /// GOMEMLIMIT and what it has to hold; or why it is not read.
    pub limits: Result<Limits, String>,
}
