//! The RSS of an mm, read from its own counters; exact on every kernel.
//!
//! Up to 6.1 (`rss_mode::ATOMIC`): `mm_rss_stat.count[]` plus the calling thread's cached part. Since 6.2
//! (`rss_mode::PERCPU`): `percpu_counter rss_stat[]`; the per-CPU parts are found with offsets that `calibrate` learned
//! from a map of our own, so hidden kallsyms do not matter.
use crate::scratch::Counters;
use crate::{kread, maps, param};
use memtrace_common::params::{ABSENT, rss_mode};

/// RSS members read in one go: NR_MM_COUNTERS.
const MEMBERS: usize = 4;
/// `sizeof(struct percpu_counter)` on kernels without lock debugging: one read fetches all members.
const COUNTER_BYTES: u32 = 40;
const MAX_CPUS: u32 = 512;

/// Resident pages (file + anonymous + shared memory) of `mm`, which must be the current task's; `room` is nobody else's.
#[inline(always)]
pub fn pages(mm: u64, room: &mut Counters) -> Option<u64> {
    let sum = match param!(mm.rss_mode) {
        rss_mode::ATOMIC => atomic(mm)?,
        rss_mode::PERCPU => percpu(mm, room)?,
        _ => return None,
    };
    // A counter may be read between two halves of a move between members.
    Some(if sum < 0 { 0 } else { sum as u64 })
}

#[inline(always)]
fn member(values: &[i64; MEMBERS], i: u32) -> i64 {
    values[(i & 3) as usize]
}

#[inline(always)]
fn rss_of(values: &[i64; MEMBERS]) -> i64 {
    member(values, param!(mm.member_file))
        + member(values, param!(mm.member_anon))
        + member(values, param!(mm.member_shmem))
}

#[inline(always)]
fn atomic(mm: u64) -> Option<i64> {
    let counts: [i64; MEMBERS] = kread::field(mm, param!(mm.rss_stat))?;
    let mut sum = rss_of(&counts);
    let cache = param!(task.rss_cache);
    if cache != ABSENT {
        let cached: [i32; MEMBERS] = kread::field(kread::current_task(), cache)?;
        sum += rss_of(&[cached[0] as i64, cached[1] as i64, cached[2] as i64, cached[3] as i64]);
    }
    Some(sum)
}

#[inline(always)]
fn percpu(mm: u64, raw: &mut Counters) -> Option<i64> {
    if param!(mm.cpus) > MAX_CPUS {
        return None;
    }
    let base = mm.wrapping_add(param!(mm.rss_stat) as u64);
    if param!(mm.percpu_counter_size) == COUNTER_BYTES {
        if !kread::kernel_into(raw, base) {
            return None;
        }
        let at = |member: u32, offset: u32| raw[((member & 3) * 5 + (offset / 8) % 5) as usize];
        let (file, anon, shmem) = (param!(mm.member_file), param!(mm.member_anon), param!(mm.member_shmem));
        let count = param!(mm.percpu_counter_count);
        let counters = param!(mm.percpu_counter_counters);
        let sum = at(file, count) as i64 + at(anon, count) as i64 + at(shmem, count) as i64;
        let parts = [at(file, counters), at(anon, counters), at(shmem, counters)];
        return Some(sum + percpu_parts(parts)?);
    }
    let mut sum = 0;
    let mut parts = [0u64; 3];
    let members = [param!(mm.member_file), param!(mm.member_anon), param!(mm.member_shmem)];
    for i in 0..3 {
        let counter = base + (members[i] * param!(mm.percpu_counter_size)) as u64;
        sum += kread::field::<i64>(counter, param!(mm.percpu_counter_count))?;
        parts[i] = kread::pointer(counter, param!(mm.percpu_counter_counters))?;
    }
    Some(sum + percpu_parts(parts)?)
}

/// Sum of the CPUs' parts of three counters given by their per-CPU addresses [file, anon, shmem].
#[inline(always)]
fn percpu_parts(parts: [u64; 3]) -> Option<i64> {
    // percpu_counter_init_many lays the members of one mm side by side.
    let together = parts[1].wrapping_sub(parts[0]) == 4 && parts[2].wrapping_sub(parts[0]) == 12;
    let mut sum = 0;
    for cpu in 0..MAX_CPUS {
        if cpu >= param!(mm.cpus) {
            break;
        }
        let offset = *maps::cpu_offset(cpu)?;
        if offset == 0 {
            return None;
        }
        if together {
            let values: [i32; MEMBERS] = kread::kernel(parts[0].wrapping_add(offset))?;
            sum += (values[0] + values[1] + values[3]) as i64;
        } else {
            for part in parts {
                sum += kread::kernel::<i32>(part.wrapping_add(offset))? as i64;
            }
        }
    }
    Some(sum)
}
