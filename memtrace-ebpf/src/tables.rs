//! The walk down a process's page tables to the level that maps one chunk. Reads only; a table freed meanwhile gives wrong
//! counts, never a fault, and the comparison with RSS finds them out.
use crate::pagetable::{self, Upper};
use crate::{kread, maps, param};

/// What maps the chunk at `address` under `pgd`.
#[inline(always)]
pub fn last_level(pgd: u64, address: u64) -> Upper {
    let Some(host) = maps::host() else { return Upper::Nothing };
    let base = host.direct_map;
    if base == 0 {
        return Upper::Nothing;
    }
    last_level_at(base, pgd, address)
}

/// [`last_level`] with a given direct-map base; a table's address is virtual.
#[inline(always)]
pub fn last_level_at(base: u64, pgd: u64, address: u64) -> Upper {
    let levels = pagetable::levels(param!(mm.page_tables), pgd);
    if levels == 0 {
        return Upper::Nothing;
    }
    let mut table = pgd;
    if levels == 5 {
        match step(base, table, address, 5) {
            Upper::Table(next) => table = next,
            _ => return Upper::Nothing,
        }
    }
    if levels >= 4 {
        match step(base, table, address, 4) {
            Upper::Table(next) => table = next,
            _ => return Upper::Nothing,
        }
    }
    match step(base, table, address, 3) {
        Upper::Table(next) => table = next,
        // A 1 GiB page is hugetlbfs: never part of RSS.
        _ => return Upper::Nothing,
    }
    step(base, table, address, 2)
}

#[inline(always)]
fn step(base: u64, table: u64, address: u64, level: u32) -> Upper {
    let Some(entry) = kread::kernel::<u64>(table.wrapping_add(pagetable::index(address, level) * 8)) else {
        return Upper::Nothing;
    };
    match pagetable::upper(param!(mm.page_tables), entry) {
        Upper::Table(physical) => Upper::Table(base.wrapping_add(physical)),
        other => other,
    }
}
