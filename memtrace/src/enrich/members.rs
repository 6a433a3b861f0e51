//! The processes of a cgroup: what each has resident, and whom its frames are charged to.
use crate::cgroup::reconcile::Members;
use crate::cgroup::tree::Tree;
use crate::procfs::ProcError;
use crate::procfs::frames::{Frames, HeldPages};
use crate::procfs::pagemap::{PageState, Pagemap, Run};
use crate::procfs::process::{self, Status};
use crate::procfs::vmas::Smaps;

/// One process.
#[derive(Clone, Debug, Default)]
pub struct Member {
    pub pid: u32,
    pub comm: Option<String>,
    pub status: Status,
}

/// A kernel thread, or one that has just ended, has no memory and is left out.
pub fn members(tree: &Tree) -> Vec<Member> {
    let member = |pid| {
        let status = Status::read(pid).ok().filter(|status| status.rss_bytes().is_some())?;
        Some(Member { pid, comm: process::comm(pid).ok(), status })
    };
    tree.pids().into_iter().filter_map(member).collect()
}

/// Their sums; with the frames, where this user may see them.
pub fn sums(members: &[Member], tree: &Tree) -> Members {
    let sum = |of: fn(&Status) -> Option<u64>| {
        members.iter().filter_map(|member| of(&member.status)).fold(0u64, u64::saturating_add)
    };
    let (held, unseen_rss_bytes) = held(members, tree).unzip();
    Members {
        rss_anon_bytes: sum(|status| status.rss_anon_bytes),
        rss_file_bytes: sum(|status| status.rss_file_bytes),
        rss_shmem_bytes: sum(|status| status.rss_shmem_bytes),
        page_tables_bytes: sum(|status| status.page_tables_bytes),
        threads: sum(|status| Some(status.threads.into())),
        held,
        unseen_rss_bytes: unseen_rss_bytes.unwrap_or(0),
    }
}

/// Of those members that may be looked at, and the RSS of the others. `None`: this user sees no frames.
fn held(members: &[Member], tree: &Tree) -> Option<(HeldPages, u64)> {
    let (mut frames, mut unseen_rss_bytes) = (Frames::default(), 0u64);
    for member in members {
        match resident(member.pid).and_then(|ranges| frames.add(member.pid, &ranges)) {
            Ok(()) => {}
            Err(why) => {
                log::info!("{why}");
                unseen_rss_bytes = unseen_rss_bytes.saturating_add(member.status.rss_bytes().unwrap_or(0));
            }
        }
    }
    let held = frames.held(&tree.ids).map_err(|why| log::info!("/proc/kpagecgroup: {why}")).ok()?;
    // Without CAP_SYS_ADMIN every frame is 0, and none is counted.
    (held.mapped > 0 || members.is_empty()).then_some((held, unseen_rss_bytes))
}

/// Ranges of resident pages; what hugetlb mappings hold is no RSS.
fn resident(pid: u32) -> Result<Vec<std::ops::Range<u64>>, ProcError> {
    let (pagemap, smaps) = (Pagemap::open(pid)?, Smaps::read(pid)?);
    let mut ranges = Vec::new();
    let add = &mut |run: Run| {
        if let PageState::Resident { .. } = run.state {
            ranges.push(run.range);
        }
    };
    for vma in smaps.vmas.iter().filter(|vma| !vma.hugetlb && vma.sizes.rss > 0) {
        pagemap.scan(&vma.range, add)?;
    }
    Ok(ranges)
}
