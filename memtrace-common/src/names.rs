//! Names of maps and counter blocks, at most 15 bytes as the kernel keeps them.
pub mod map {
    pub const EVENTS: &str = "EVENTS";
    pub const URGENT: &str = "URGENT";
    pub const TARGETS: &str = "TARGETS";
    pub const COUNTERS: &str = "COUNTERS";
    pub const FAULTS: &str = "FAULTS";
    pub const SUMS: &str = "SUMS";
    pub const CHUNKS: &str = "CHUNKS";
    pub const STACKS: &str = "STACKS";
    pub const HOST: &str = "HOST";
    pub const CPU_OFFSETS: &str = "CPU_OFFSETS";
    pub const WORD_PLANS: &str = "WORD_PLANS";
    pub const WORDS_DUE: &str = "WORDS_DUE";
    pub const FATAL_DUE: &str = "FATAL_DUE";
    pub const WALK_PLANS: &str = "WALK_PLANS";
    pub const WALKS_DUE: &str = "WALKS_DUE";
}

/// Counter blocks: one per family of hooks; an enter/exit pair is one hook, counted at exit. The value is the index in COUNTERS.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    Advise,
    Map,
    Fault,
    SigGenerate,
    SigDeliver,
    Fatal,
    Walk,
    MarkVictim,
    MemcgReclaim,
    DirectReclaim,
    Fork,
    Exec,
    Exit,
}

pub const HOOKS: [(Hook, &str); 13] = [
    (Hook::Advise, "advise"),
    (Hook::Map, "map"),
    (Hook::Fault, "fault"),
    (Hook::SigGenerate, "signal_generate"),
    (Hook::SigDeliver, "signal_deliver"),
    (Hook::Fatal, "fatal"),
    (Hook::Walk, "walk"),
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
