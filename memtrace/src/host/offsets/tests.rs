use super::*;
use crate::fuzz::corpus;
use crate::host::btf::tests::Builder;
use crate::host::tracefs::tests::*;
use crate::host::tracefs::{Format, Tracefs};

const MACHINE: Machine = Machine { cpus: 4, page_bytes: 4096, page_tables: page_tables::X86_64, pid_namespace: 0 };

/// A kernel of the given RSS shape; the other fields as far as the tests ask.
fn described(old: bool) -> Builder {
    let mut b = Builder::new();
    let int = b.int("int", 4);
    let long = b.int("long", 8);
    let longs = b.array(long, 4);
    let ints = b.array(int, 4);
    let (rss_stat, cache) = if old {
        let shared = b.structure("mm_rss_stat", 32, &[("count", longs, 0)]);
        (shared, b.structure("task_rss_stat", 20, &[("events", int, 0), ("count", ints, 4)]))
    } else {
        let counter =
            b.structure("percpu_counter", 40, &[("lock", int, 0), ("count", long, 8), ("counters", long, 32)]);
        (b.array(counter, 4), 0)
    };
    let inner = b.structure("", 1000, &[("pgd", long, 72), ("rss_stat", rss_stat, 800)]);
    b.structure("mm_struct", 1000, &[("", inner, 8)]);
    let mut task = vec![("mm", long, 100), ("tgid", int, 200), ("start_boottime", long, 208)];
    if old {
        task.push(("rss_stat", cache, 300));
    }
    b.structure("task_struct", 4000, &task);
    let mapping = b.structure("", 16, &[("mapping", long, 8)]);
    b.structure("page", 64, &[("flags", long, 0), ("", mapping, 8)]);
    b.structure("syscall_tp_t", 24, &[("nr", int, 8), ("ret", long, 16)]);
    b.structure("syscall_tp_t", 64, &[("nr", int, 8), ("args", longs, 24)]);
    b.enumeration("", &[("MM_FILEPAGES", 0), ("MM_ANONPAGES", 1), ("MM_SWAPENTS", 2), ("MM_SHMEMPAGES", 3)]);
    b.enumeration("cgroup_subsys_id", &[("cpu_cgrp_id", 1), ("memory_cgrp_id", 4)]);
    b
}

fn kernel(old: bool) -> Btf {
    described(old).build()
}

fn saved(mark_victim: &'static str) -> Saved {
    let reclaim = [RECLAIM_BEGIN_7_3, RECLAIM_END_6_18, DIRECT_BEGIN_6_18, DIRECT_END_6_18];
    Saved([mark_victim, ENTER_MADVISE, EXIT_MADVISE].into_iter().chain(reclaim).collect())
}

#[test]
fn page_tables_are_those_of_the_machine() {
    assert_eq!(page_tables_of("x86_64", 4096), page_tables::X86_64);
    assert_eq!(page_tables_of("aarch64", 4096), page_tables::ARM64);
    for (machine, page_bytes) in [("aarch64", 65536), ("riscv64", 4096)] {
        assert_eq!(page_tables_of(machine, page_bytes), page_tables::NONE);
    }
}

#[test]
fn old_kernels_have_atomics_and_a_cache_per_thread() {
    let (p, missing) = params(&kernel(true), &saved(MARK_VICTIM_5_10), MACHINE, Switches::zeroed());
    assert_eq!((p.mm.rss_mode, p.mm.rss_stat, p.task.rss_cache), (rss_mode::ATOMIC, 808, 304));
    assert_eq!((p.mm.member_file, p.mm.member_anon, p.mm.member_shmem), (0, 1, 3));
    assert_eq!((p.trace.victim_pid, p.trace.victim_total_vm), (8, ABSENT));
    let lost: Vec<_> = missing.iter().filter(|m| m.what.starts_with("mark_victim")).collect();
    assert_eq!(lost.len(), 6);
    assert!(lost.iter().all(|m| m.needed_by.is_empty()), "totals are no requirement");
}

#[test]
fn new_kernels_have_percpu_counters() {
    let (p, missing) = params(&kernel(false), &saved(MARK_VICTIM_6_18), MACHINE, Switches::zeroed());
    assert_eq!((p.mm.rss_mode, p.mm.rss_stat, p.task.rss_cache), (rss_mode::PERCPU, 808, ABSENT));
    assert_eq!((p.mm.percpu_counter_size, p.mm.percpu_counter_count, p.mm.percpu_counter_counters), (40, 8, 32));
    assert_eq!((p.mm.cpus, p.mm.page_shift, p.mm.page_mapping, p.mm.pgd), (4, 12, 16, 80));
    assert_eq!((p.task.mm, p.task.tgid, p.task.start_boottime, p.task.pid), (100, 200, 208, ABSENT));
    assert_eq!(p.cgroup.memory_subsys, 4);
    assert_eq!((p.trace.sys_enter_args, p.trace.sys_exit_ret), (24, 16), "BTF before the format file");
    assert_eq!((p.trace.memcg_begin_order, p.trace.memcg_end_reclaimed), (24, 8));
    assert_eq!((p.trace.direct_begin_order, p.trace.direct_end_reclaimed), (8, 8));
    assert_eq!((p.trace.victim_oom_score_adj, p.trace.victim_page_tables), (64, 56));
    assert!(missing.iter().any(|m| m.what == "task_struct.pid" && m.needed_by.contains(&"sig_generate")));
}

#[test]
fn the_format_file_answers_where_btf_is_silent() {
    let empty = Builder::new().build();
    let (p, missing) = params(&empty, &saved(MARK_VICTIM_6_18), MACHINE, Switches::zeroed());
    assert_eq!((p.trace.sys_enter_args, p.trace.sys_exit_ret), (16, 16));
    assert_eq!(p.mm.rss_mode, rss_mode::NONE);
    assert!(missing.iter().any(|m| m.what == "mm_struct.rss_stat"));
    let (p, missing) = params(&empty, &(), MACHINE, Switches::zeroed());
    assert_eq!(p, absent(MACHINE, Switches::zeroed()));
    assert!(missing.iter().any(|m| m.what == "syscall_tp_t.args" && m.needed_by.contains(&"madvise_in")));
}

#[test]
fn nothing_is_zero_by_accident() {
    let p = absent(MACHINE, Switches::zeroed());
    for words in [
        bytemuck::cast_slice::<_, u32>(bytemuck::bytes_of(&p.trace)),
        bytemuck::cast_slice(bytemuck::bytes_of(&p.task)),
    ] {
        assert!(words.iter().all(|w| *w == ABSENT));
    }
}

#[test]
fn this_kernel_is_complete_when_it_can_be_read() {
    let (Ok(btf), Ok(tracefs)) = (Btf::read(), Tracefs::find()) else { return };
    let (p, missing) = params(&btf, &tracefs, MACHINE, Switches::zeroed());
    assert_ne!(p.mm.rss_mode, rss_mode::NONE);
    assert_ne!(p.task.tgid, ABSENT);
    assert!(missing.iter().all(|m| m.needed_by.is_empty()), "{missing:?}");
    assert_eq!(tracefs.format("oom", "mark_victim").map(|f: Format| f.name).as_deref(), Some("mark_victim"));
}

#[test]
fn the_fuzzer_starts_from_kernels_that_are_whole() {
    assert_eq!(corpus("btf/atomic"), described(true).bytes());
    assert_eq!(corpus("btf/percpu"), described(false).bytes());
}
