//! Names of maps and counter blocks, at most 15 bytes as the kernel keeps them.
pub mod map {
    pub const EVENTS: &str = "EVENTS";
    pub const URGENT: &str = "URGENT";
    pub const TARGETS: &str = "TARGETS";
    pub const COUNTERS: &str = "COUNTERS";
    pub const FAULTS: &str = "FAULTS";
    pub const CHUNKS: &str = "CHUNKS";
    pub const STACKS: &str = "STACKS";
    pub const HOST: &str = "HOST";
    pub const CPU_OFFSETS: &str = "CPU_OFFSETS";
}

/// Counter blocks: one per hook; an enter/exit pair is one hook, counted at exit. The value is the index in COUNTERS.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    Madvise,
    ProcessMadvise,
    Mmap,
    Munmap,
    Mremap,
    Brk,
    Fault,
    SigGenerate,
    MarkVictim,
    MemcgReclaim,
    DirectReclaim,
    Fork,
    Exec,
    Exit,
}

pub const HOOKS: [(Hook, &str); 14] = [
    (Hook::Madvise, "madvise"),
    (Hook::ProcessMadvise, "process_madvise"),
    (Hook::Mmap, "mmap"),
    (Hook::Munmap, "munmap"),
    (Hook::Mremap, "mremap"),
    (Hook::Brk, "brk"),
    (Hook::Fault, "fault"),
    (Hook::SigGenerate, "signal_generate"),
    (Hook::MarkVictim, "mark_victim"),
    (Hook::MemcgReclaim, "memcg_reclaim"),
    (Hook::DirectReclaim, "direct_reclaim"),
    (Hook::Fork, "fork"),
    (Hook::Exec, "exec"),
    (Hook::Exit, "exit"),
];

const _: () = {
    let mut i = 0;
    while i < HOOKS.len() {
        assert!(HOOKS[i].0 as usize == i, "HOOKS is indexed by Hook");
        i += 1;
    }
};
