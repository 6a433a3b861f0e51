//! The waterfall as a table with bars, within 100 columns.
use super::allocator::write_allocator;
use super::style::Style;
use super::table::{bar, wrapped};
use super::units::{clean, clean_path, maybe, maybe_count, percent, size};
use crate::aggregate::waterfall::Waterfall;
use crate::cgroup::Account;
use crate::config::Explain;
use crate::goruntime::Sample;
use crate::sink::Explanation;
use std::io::{self, Write};

pub fn write_explain(out: &mut dyn Write, e: &Explanation, view: Explain, style: Style) -> io::Result<()> {
    for warning in e.warnings() {
        wrapped(out, "!  ", &warning, |line| style.alarm(line))?;
    }
    let comm = clean(e.comm.as_deref().unwrap_or("?"), 15);
    let version = clean(e.go.as_ref().map_or("not read as Go", |go| go.version.as_str()), 40);
    let exe = clean_path(e.exe.as_deref().unwrap_or("-"), 98);
    let fall = &e.waterfall;
    writeln!(out, "{}", style.bold(&format!("{}/{comm}   {version}", e.pid)))?;
    writeln!(out, "{}", style.dim(&exe))?;
    let moved = match e.moved_bytes() {
        0 => String::new(),
        bytes => format!(" (moved by {} while it was looked at)", size(bytes)),
    };
    writeln!(out, "RSS {}{moved}\n", size(fall.rss_bytes))?;
    buckets(out, fall, view, style)?;
    if fall.swapped_bytes > 0 {
        writeln!(out, "\nbeside RSS: {} swapped out", size(fall.swapped_bytes))?;
    }
    let large: Vec<_> = fall.anonymous.iter().filter(|a| is_large(fall, a.bytes)).collect();
    if !large.is_empty() {
        writeln!(out, "\nlargest other anonymous mappings")?;
    }
    for a in large {
        let name = clean(a.creator.as_deref().unwrap_or(&a.name), 50);
        let row = format!("{:>9}  {:#x}-{:#x}  {name}", size(a.bytes), a.range.start, a.range.end);
        writeln!(out, "{}", row.trim_end())?;
    }
    e.sample.as_ref().map_or(Ok(()), |sample| runtime(out, sample))?;
    e.allocator.as_ref().filter(|_| view.spans).map_or(Ok(()), |allocator| write_allocator(out, allocator))?;
    e.cgroup.as_ref().map_or(Ok(()), |account| cgroup(out, account))
}

fn buckets(out: &mut dyn Write, fall: &Waterfall, view: Explain, style: Style) -> io::Result<()> {
    let head = format!("{:<28} {:>9} {:>7}  {}", "where it is", "bytes", "share", "given back by");
    writeln!(out, "{}", style.dim(&head))?;
    for b in &fall.buckets {
        row(out, fall, b.title, b.bytes, b.reclaimable_by.map_or("", |by| by.as_str()))?;
        if view.evidence {
            wrapped(out, "    from ", b.evidence, |line| style.dim(line))?;
        }
        b.advice.as_ref().map_or(Ok(()), |advice| wrapped(out, "    → ", advice, |line| style.dim(line)))?;
    }
    row(out, fall, "unknown", fall.unknown_bytes, "")
}

fn row(out: &mut dyn Write, fall: &Waterfall, title: &str, bytes: u64, by: &str) -> io::Result<()> {
    let share = fall.share(bytes);
    let row = format!("{title:<28} {:>9} {:>7}  {by:<6}  {}", size(bytes), percent(share), bar(share));
    writeln!(out, "{}", row.trim_end())
}

/// At least 1 % of RSS.
fn is_large(fall: &Waterfall, bytes: u64) -> bool {
    fall.share(bytes) >= 0.01
}

/// What the Go runtime counts itself, in its own words.
fn runtime(out: &mut dyn Write, sample: &Sample) -> io::Result<()> {
    let m = &sample.memstats;
    let gogc = sample.gogc_percent.map_or("off".to_owned(), |percent| percent.to_string());
    let limit = sample.gomemlimit_bytes.map_or("none".to_owned(), size);
    writeln!(out, "\nGo runtime   GOGC {gogc}   GOMEMLIMIT {limit}   GOMAXPROCS {}", sample.procs)?;
    let (goroutines, threads, skew) = (sample.num_goroutine, sample.threads, size(sample.skew_bytes));
    writeln!(out, "  goroutines {goroutines}   threads {threads}   collections {}   skew {skew}", m.num_gc)?;
    let (alloc, inuse, idle) = (size(m.heap_alloc), size(m.heap_inuse), size(m.heap_idle));
    writeln!(
        out,
        "  HeapAlloc {alloc}   HeapInuse {inuse}   HeapIdle {idle}   HeapReleased {}",
        size(m.heap_released)
    )?;
    let (next, ready, sys) = (size(m.next_gc), size(sample.mapped_ready), size(m.sys));
    writeln!(out, "  NextGC {next}   Sys {sys}   held ready (what GOMEMLIMIT limits) {ready}")
}

/// The account of the whole cgroup; the process may not be alone in it.
fn cgroup(out: &mut dyn Write, a: &Account) -> io::Result<()> {
    let path = clean_path(&a.path.display().to_string(), 80);
    writeln!(out, "\ncgroup v{} {path}", a.version)?;
    let limit = a.effective_limit_bytes.map_or("none".to_owned(), size);
    let (charge, peak) = (maybe(a.charge_bytes), maybe(a.peak_bytes));
    writeln!(out, "  charge {charge}   limit {limit}   peak {peak}   oom kills {}", maybe_count(a.oom_kills))?;
    let (back, rest) = (maybe(a.reclaimable_bytes()), maybe(a.nonreclaimable_bytes()));
    writeln!(out, "  reclaimable without swap {back}   not reclaimable {rest}")?;
    let (anon, file, shmem) = (maybe(a.anon_bytes), maybe(a.file_bytes), maybe(a.shmem_bytes));
    let (kernel, sock, swap) = (maybe(a.kernel_bytes), maybe(a.sock_bytes), maybe(a.swap_bytes));
    writeln!(out, "  anon {anon}   file {file} (shmem {shmem})   kernel {kernel}   sock {sock}   swap {swap}")?;
    writeln!(out, "  not in RSS: page cache that is not mapped, kernel memory, sockets, other processes")
}

#[cfg(test)]
mod tests {
    use super::super::table::COLUMNS;
    use super::*;
    use crate::aggregate::waterfall::{Anonymous, Bucket};

    #[test]
    fn the_table_fits_and_warnings_come_first() {
        let bucket = Bucket {
            name: "released_thp_reinflation",
            title: "released: THP re-inflation",
            bytes: 900 << 20,
            evidence: "",
            reclaimable_by: None,
            advice: Some("word ".repeat(60)),
        };
        let name = "\x1b[31m".repeat(40);
        let anonymous = Anonymous { range: 1 << 46..1 << 47, name: name.clone(), bytes: 20 << 20, creator: None };
        let explanation = Explanation {
            pid: u32::MAX,
            t_ns: 1,
            comm: Some(name.clone()),
            exe: Some(name.clone()),
            waterfall: Waterfall {
                rss_bytes: 1000 << 20,
                buckets: vec![bucket],
                unknown_bytes: 100 << 20,
                swapped_bytes: 7,
                anonymous: vec![anonymous],
            },
            status_rss_bytes: [Some(1000 << 20), Some(990 << 20)],
            smaps_rss_bytes: 1000 << 20,
            go: None,
            sample: None,
            allocator: None,
            runtime_not_read: Some(name),
            cgroup: Some(Account { path: "/x".repeat(99).into(), charge_bytes: Some(5), ..Account::default() }),
            counts_zero_pages: true,
        };
        let mut out = Vec::new();
        let view = Explain { pid: 1, format: crate::config::Format::Text, evidence: true, spans: true };
        write_explain(&mut out, &explanation, view, Style::default()).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("!  10.0 % of RSS is unknown"), "{text}");
        assert!(text.contains("moved by 10.0 MiB") && text.contains("90.0 %"), "{text}");
        assert!(!text.contains('\x1b'));
        for line in text.lines() {
            assert!(line.chars().count() <= COLUMNS, "{line}");
        }
    }
}
