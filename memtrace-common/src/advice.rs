//! madvise advice values by their kernel names, and which group a returned page is remembered under.

/// `(value, name)` as in include/uapi/asm-generic/mman-common.h, lower case without `MADV_`.
pub const NAMES: &[(i32, &str)] = &[
    (0, "normal"),
    (1, "random"),
    (2, "sequential"),
    (3, "willneed"),
    (4, "dontneed"),
    (8, "free"),
    (9, "remove"),
    (10, "dontfork"),
    (11, "dofork"),
    (12, "mergeable"),
    (13, "unmergeable"),
    (14, "hugepage"),
    (15, "nohugepage"),
    (16, "dontdump"),
    (17, "dodump"),
    (18, "wipeonfork"),
    (19, "keeponfork"),
    (20, "cold"),
    (21, "pageout"),
    (22, "populate_read"),
    (23, "populate_write"),
    (24, "dontneed_locked"),
    (25, "collapse"),
    (100, "hwpoison"),
    (101, "soft_offline"),
    (102, "guard_install"),
    (103, "guard_remove"),
];

pub const DONTNEED: i32 = 4;
pub const FREE: i32 = 8;
pub const REMOVE: i32 = 9;
pub const HUGEPAGE: i32 = 14;
pub const NOHUGEPAGE: i32 = 15;
pub const PAGEOUT: i32 = 21;
pub const DONTNEED_LOCKED: i32 = 24;
pub const COLLAPSE: i32 = 25;
pub const GUARD_INSTALL: i32 = 102;

/// Name of an advice value; `None` for one this build does not know.
pub fn name(advice: i32) -> Option<&'static str> {
    NAMES.iter().find(|(value, _)| *value == advice).map(|(_, name)| *name)
}

/// Advice that unmaps resident pages at once, so that the next touch is a re-fault.
#[inline(always)]
pub const fn unmaps(advice: i32) -> bool {
    matches!(advice, DONTNEED | REMOVE | PAGEOUT | DONTNEED_LOCKED | GUARD_INSTALL)
}

/// How many groups re-faults are counted under.
pub const GROUPS: usize = 4;

/// The group a page returned by `advice` is remembered under: 0 dontneed, 1 pageout, 2 dontneed_locked, 3 the others.
#[inline(always)]
pub const fn group(advice: i32) -> usize {
    match advice {
        DONTNEED => 0,
        PAGEOUT => 1,
        DONTNEED_LOCKED => 2,
        _ => 3,
    }
}

/// Advice names a group's re-faults are reported under; the last group holds the rare rest.
pub const GROUP_NAMES: [&str; GROUPS] = ["dontneed", "pageout", "dontneed_locked", "remove"];
