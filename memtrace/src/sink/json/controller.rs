//! The memory controller's account of a cgroup, as several schemas carry it.
use super::pressure::PressureJson;
use crate::cgroup::Account;
use serde::Serialize;
use std::borrow::Cow;

#[derive(Serialize)]
pub(super) struct ControllerJson<'a> {
    path: Cow<'a, str>,
    version: u8,
    charge_bytes: Option<u64>,
    limit_bytes: Option<u64>,
    effective_limit_bytes: Option<u64>,
    limit_path: Option<Cow<'a, str>>,
    high_bytes: Option<u64>,
    peak_bytes: Option<u64>,
    working_set_bytes: Option<u64>,
    reclaimable_bytes: Option<u64>,
    nonreclaimable_bytes: Option<u64>,
    headroom_bytes: Option<u64>,
    headroom_nonreclaimable_bytes: Option<u64>,
    anon_bytes: Option<u64>,
    inactive_anon_bytes: Option<u64>,
    active_anon_bytes: Option<u64>,
    unevictable_bytes: Option<u64>,
    file_bytes: Option<u64>,
    shmem_bytes: Option<u64>,
    file_mapped_bytes: Option<u64>,
    file_dirty_bytes: Option<u64>,
    file_writeback_bytes: Option<u64>,
    inactive_file_bytes: Option<u64>,
    active_file_bytes: Option<u64>,
    kernel_bytes: Option<u64>,
    kernel_stack_bytes: Option<u64>,
    page_tables_bytes: Option<u64>,
    slab_reclaimable_bytes: Option<u64>,
    slab_unreclaimable_bytes: Option<u64>,
    percpu_bytes: Option<u64>,
    sock_bytes: Option<u64>,
    hugetlb_bytes: Option<u64>,
    swap_bytes: Option<u64>,
    swap_limit_bytes: Option<u64>,
    lazyfree_pages: Option<u64>,
    lazyfreed_pages: Option<u64>,
    low_events: Option<u64>,
    high_events: Option<u64>,
    limit_hits: Option<u64>,
    oom_events: Option<u64>,
    oom_kills: Option<u64>,
    dying_descendants: Option<u64>,
    pressure: Option<PressureJson>,
}

/// As an object of its own.
pub(crate) fn controller_json(account: &Account) -> serde_json::Map<String, serde_json::Value> {
    match serde_json::to_value(ControllerJson::of(account)) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    }
}

impl<'a> ControllerJson<'a> {
    pub(super) fn of(a: &'a Account) -> Self {
        Self {
            path: a.path.to_string_lossy(),
            version: a.version,
            charge_bytes: a.charge_bytes,
            limit_bytes: a.limit_bytes,
            effective_limit_bytes: a.effective_limit_bytes,
            limit_path: a.limit_path.as_ref().map(|at| at.to_string_lossy()),
            high_bytes: a.high_bytes,
            peak_bytes: a.peak_bytes,
            working_set_bytes: a.working_set_bytes(),
            reclaimable_bytes: a.reclaimable_bytes(),
            nonreclaimable_bytes: a.nonreclaimable_bytes(),
            headroom_bytes: a.headroom_bytes(),
            headroom_nonreclaimable_bytes: a.headroom_nonreclaimable_bytes(),
            anon_bytes: a.anon_bytes,
            inactive_anon_bytes: a.inactive_anon_bytes,
            active_anon_bytes: a.active_anon_bytes,
            unevictable_bytes: a.unevictable_bytes,
            file_bytes: a.file_bytes,
            shmem_bytes: a.shmem_bytes,
            file_mapped_bytes: a.file_mapped_bytes,
            file_dirty_bytes: a.file_dirty_bytes,
            file_writeback_bytes: a.file_writeback_bytes,
            inactive_file_bytes: a.inactive_file_bytes,
            active_file_bytes: a.active_file_bytes,
            kernel_bytes: a.kernel_bytes,
            kernel_stack_bytes: a.kernel_stack_bytes,
            page_tables_bytes: a.page_tables_bytes,
            slab_reclaimable_bytes: a.slab_reclaimable_bytes,
            slab_unreclaimable_bytes: a.slab_unreclaimable_bytes,
            percpu_bytes: a.percpu_bytes,
            sock_bytes: a.sock_bytes,
            hugetlb_bytes: a.hugetlb_bytes,
            swap_bytes: a.swap_bytes,
            swap_limit_bytes: a.swap_limit_bytes,
            lazyfree_pages: a.lazyfree_pages,
            lazyfreed_pages: a.lazyfreed_pages,
            low_events: a.low_events,
            high_events: a.high_events,
            limit_hits: a.limit_hits,
            oom_events: a.oom_events,
            oom_kills: a.oom_kills,
            dying_descendants: a.dying_descendants,
            pressure: a.pressure.as_ref().map(PressureJson::of),
        }
    }
}
