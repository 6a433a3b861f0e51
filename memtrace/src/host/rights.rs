//! What a long run still needs of its rights once its programs are attached: the rest is dropped, for good.
use caps::{CapSet, Capability, CapsHashSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// CAP_SYS_ADMIN only where functions are not attached to without it (since 2025, and in stable
/// kernels): else, close looks see no frames, and before 6.7 cannot tell the zero page from memory.
const KEPT: [Capability; 5] = [
    // its maps and programs, where unprivileged bpf() is off
    Capability::CAP_BPF,
    // page-fault events of new threads, functions of new Go executables
    Capability::CAP_PERFMON,
    // memory of the targets, and whom a path in theirs leads to
    Capability::CAP_SYS_PTRACE,
    // files of other users' processes
    Capability::CAP_DAC_READ_SEARCH,
    // stall triggers of new cgroups (PSI), with windows below 2 s; its own oom_score_adj
    Capability::CAP_SYS_RESOURCE,
];

/// Drops from this thread, and those it starts, every capability that no later step needs; none can come back. Returns what
/// is left, sorted. `directories` are written to: of another user's it takes CAP_DAC_OVERRIDE. `suffices`: whether what it is
/// called with does for what is still to be done.
pub fn drop_rest(directories: &[PathBuf], suffices: impl FnOnce() -> bool) -> Result<Vec<String>, String> {
    let failed = |why: caps::errors::CapsError| why.to_string();
    let mut kept = CapsHashSet::from(KEPT);
    if !directories.iter().all(|directory| is_own(directory)) {
        kept.insert(Capability::CAP_DAC_OVERRIDE);
    }
    let permitted = caps::read(None, CapSet::Permitted).map_err(failed)?;
    let mut left: CapsHashSet = permitted.intersection(&kept).copied().collect();
    if permitted.contains(&Capability::CAP_SYS_ADMIN) {
        caps::set(None, CapSet::Effective, &left).map_err(failed)?;
        if !suffices() {
            kept.insert(Capability::CAP_SYS_ADMIN);
            left.insert(Capability::CAP_SYS_ADMIN);
        }
        caps::set(None, CapSet::Effective, &permitted).map_err(failed)?;
    }
    // The bounding set is a matter of CAP_SETPCAP: where that is missing, exec gives nothing back to who is not root anyway.
    if permitted.contains(&Capability::CAP_SETPCAP) {
        let bounding = caps::read(None, CapSet::Bounding).map_err(failed)?;
        for capability in bounding.difference(&kept) {
            caps::drop(None, CapSet::Bounding, *capability).map_err(failed)?;
        }
    }
    // Fails where the kernel has none.
    let _ = caps::clear(None, CapSet::Ambient);
    caps::set(None, CapSet::Effective, &left).map_err(failed)?;
    caps::set(None, CapSet::Permitted, &left).map_err(failed)?;
    caps::clear(None, CapSet::Inheritable).map_err(failed)?;
    let mut names: Vec<String> = left.iter().map(ToString::to_string).collect();
    names.sort();
    Ok(names)
}

/// Or, where it is still to be made, whoever has what is above it.
fn is_own(directory: &Path) -> bool {
    let owner = directory.ancestors().find_map(|at| std::fs::metadata(at).ok()).map(|of| of.uid());
    owner == Some(rustix::process::geteuid().as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_a_thread_may_only_what_is_needed_is_left() {
        let directory = tempfile::tempdir().unwrap();
        // Of a thread alone: the tests beside it keep theirs.
        let left =
            std::thread::spawn(move || drop_rest(&[directory.path().join("new")], || true)).join().unwrap().unwrap();
        let before = caps::read(None, CapSet::Permitted).unwrap();
        let mut kept: Vec<String> =
            KEPT.iter().filter(|capability| before.contains(*capability)).map(ToString::to_string).collect();
        kept.sort();
        assert_eq!(left, kept);
    }
}
