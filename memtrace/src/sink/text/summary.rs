//! The ledger of the whole window, one block per process.
use super::interval::returned_is_approximate;
use super::units::{
    clean, clean_path, count, duration, maybe, maybe_about, maybe_duration, percent, signed_size, size, who,
};
use super::{Style, table, told, write_account};
use crate::snapshot::{
    CallSnapshot, ExitSnapshot, GrowthSnapshot, KilledBy, ProcessSnapshot, ReturnedBy, Snapshot, SpanSnapshot,
};
use memtrace_common::advice;
use std::io::{self, Write};

const COLUMNS: usize = 100;
/// More processes than this: the ones that returned most; JSON has them all.
const SHOWN: usize = 20;

/// All processes, the notes, the loss account.
pub fn write_summary(out: &mut impl Write, style: Style, snapshot: &Snapshot) -> io::Result<()> {
    let window = duration(snapshot.t_ns.saturating_sub(snapshot.since_ns));
    let seen: u64 = snapshot.processes.iter().fold(0, |sum, p| sum.saturating_add(p.processes));
    let plural = if seen == 1 { "process" } else { "processes" };
    writeln!(out, "{}", style.bold(&format!("page-return ledger: {} {plural} in {window}", count(seen))))?;
    let mut shown: Vec<&ProcessSnapshot> = snapshot.processes.iter().collect();
    if shown.len() > SHOWN {
        shown.sort_by_key(|p| std::cmp::Reverse((p.oom_killed, p.returned_bytes)));
    }
    let rest = shown.split_off(shown.len().min(SHOWN));
    for process in shown {
        writeln!(out)?;
        write_process(out, style, process)?;
    }
    writeln!(out)?;
    if !rest.is_empty() {
        let bytes = rest.iter().filter_map(|p| p.returned_bytes).fold(0, u64::saturating_add);
        let line = format!("and {} more, which returned {} (-o json has them all)", rest.len(), size(bytes));
        writeln!(out, "{line}")?;
    }
    for pressure in &snapshot.pressure {
        table::wrapped(out, "pressure: ", &told::all(pressure), str::to_owned)?;
    }
    for note in &snapshot.notes {
        wrapped(out, "note: ", "      ", note)?;
    }
    write_account(out, style, &snapshot.account)
}

fn write_process(out: &mut impl Write, style: Style, p: &ProcessSnapshot) -> io::Result<()> {
    if p.target == 0 && p.pid.is_some() {
        // a victim elsewhere on the host: nothing else is known about it
        writeln!(out, "{}", style.bold(&format!("{}  not a target", who(p))))?;
        return end_line(p).map_or(Ok(()), |end| writeln!(out, "  {}", style.alarm(&end)));
    }
    let runtime = match &p.go {
        Some(go) => match go.read_by {
            Some(by) => format!("{} (read by {})", clean(&go.version, 24), by.as_str()),
            None => format!("{} (heap not read)", clean(&go.version, 24)),
        },
        None if p.heap.is_some() => "Go".to_owned(),
        None => "no Go heap read".to_owned(),
    };
    let exe = p.exe.as_deref().map(|exe| clean_path(exe, 30)).unwrap_or_default();
    writeln!(out, "{}", style.bold(format!("{}  {runtime}  {exe}", who(p)).trim_end()))?;
    write_table(out, style, p)?;
    write_returned(out, p)?;
    write_spans(out, style, p)?;
    let faults = p.faults.map_or_else(|| "-".to_owned(), count);
    let stall = match p.reclaim_stalls {
        0 => "0".to_owned(),
        stalls => format!("{} in {} stalls", duration(p.reclaim_stall_ns), count(stalls)),
    };
    if p.heap.is_some() {
        let gap = p.gap_bytes.map_or_else(|| "-".to_owned(), signed_size);
        let retained = maybe(p.retained_idle_bytes);
        writeln!(out, "  retained idle {retained} (idle - released)   gap {gap} (RSS - in use)")?;
    }
    writeln!(out, "  page faults {faults}   reclaim stall {stall}")?;
    super::waterfall::write_waterfalls(out, style, &p.waterfalls)?;
    if let Some(end) = end_line(p) {
        let end = format!("  {end}");
        writeln!(out, "{}", if p.oom_killed { style.alarm(&end) } else { end })?;
    }
    wrapped(out, "  => ", "     ", &sentence(p))?;
    p.notes.iter().try_for_each(|note| wrapped(out, "  note: ", "        ", note))
}

fn write_table(out: &mut impl Write, style: Style, p: &ProcessSnapshot) -> io::Result<()> {
    let exact = p.advise.iter().map(|(_, call)| call).chain([&p.munmap]).any(|call| call.freed_bytes.is_some());
    let used = |call: &CallSnapshot| call.calls > 0 || call.refaulted_bytes.is_some_and(|bytes| bytes > 0);
    let growths = [("mmap", p.mmap), ("mremap", p.mremap), ("brk", p.brk)];
    if !p.advise.iter().any(|(_, c)| used(c)) && !used(&p.munmap) && growths.iter().all(|(_, g)| g.calls == 0) {
        return writeln!(out, "  no memory calls seen");
    }
    let freed = if exact { "freed" } else { "" };
    let head = ["calls", "failed", "asked", "unmapped", freed, "re-fault", "p50", "p99"].map(str::to_owned);
    writeln!(out, "{}", style.dim(&row("", exact, &head)))?;
    let calls = p.advise.iter().map(|(name, call)| (name.as_str(), call)).chain([("munmap", &p.munmap)]);
    for (name, call) in calls.filter(|(_, call)| used(call)) {
        writeln!(out, "{}", row(name, exact, &call_cells(call)))?;
    }
    for (name, growth) in growths.iter().filter(|(_, growth)| growth.calls > 0) {
        writeln!(out, "{}", row(name, exact, &growth_cells(growth)))?;
    }
    Ok(())
}

fn call_cells(call: &CallSnapshot) -> [String; 8] {
    [
        count(call.calls),
        count(call.failed_calls),
        size(call.asked_bytes),
        maybe_about(call.unmapped_bytes, call.approximate_calls > 0),
        maybe(call.freed_bytes),
        maybe(call.refaulted_bytes),
        maybe_duration(call.latency.map(|l| l.p50_ns)),
        maybe_duration(call.latency.map(|l| l.p99_ns)),
    ]
}

fn growth_cells(growth: &GrowthSnapshot) -> [String; 8] {
    let shrunk = if growth.shrunk_bytes > 0 { format!("-{}", size(growth.shrunk_bytes)) } else { String::new() };
    let grown = if growth.grown_bytes > 0 { format!("+{}", size(growth.grown_bytes)) } else { "0".to_owned() };
    let none = String::new;
    [count(growth.calls), count(growth.failed_calls), grown, shrunk, none(), none(), none(), none()]
}

fn row(name: &str, exact: bool, cells: &[String; 8]) -> String {
    let [calls, failed, asked, unmapped, freed, refault, p50, p99] = cells;
    let freed = if exact { format!(" {freed:>9}") } else { String::new() };
    let line = format!(
        "  {name:<18} {calls:>8} {failed:>8} {asked:>9} {unmapped:>9}{freed} {refault:>9} {p50:>9} {p99:>9}",
        name = clean(name, 18)
    );
    line.trim_end().to_owned()
}

fn write_returned(out: &mut impl Write, p: &ProcessSnapshot) -> io::Result<()> {
    let about = returned_is_approximate(p);
    let by = match p.returned_by {
        Some(ReturnedBy::Mixed) => " (freed where measured)".to_owned(),
        Some(by) => format!(" ({})", by.name()),
        None => String::new(),
    };
    let (returned, kept) = (maybe_about(p.returned_bytes, about), maybe_about(p.kept_bytes, about));
    let effectiveness = p.effectiveness_ratio.map_or_else(|| "-".to_owned(), percent);
    let lazy = maybe(p.lazy_bytes);
    writeln!(out, "  returned {returned}{by}   kept {kept}   effectiveness {effectiveness}   lazy {lazy}")?;
    let times = match &p.time_to_refault {
        Some(t) if t.count_pages > 0 => format!(
            " after p50 {}  p90 {}  p99 {}  max {}",
            maybe_duration(t.p50_ns),
            maybe_duration(t.p90_ns),
            maybe_duration(t.p99_ns),
            maybe_duration(t.max_ns)
        ),
        Some(_) => String::new(),
        None => " (page faults are not tracked)".to_owned(),
    };
    writeln!(out, "  re-faulted {}{times}", maybe(p.refaulted_bytes))
}

fn write_spans(out: &mut impl Write, style: Style, p: &ProcessSnapshot) -> io::Result<()> {
    writeln!(out, "{}", style.dim(&format!("  {:<18} {:>8} {:>8} {:>9}", "", "start", "peak", "end")))?;
    let mut span = |name: &str, span: &SpanSnapshot| {
        let (start, peak, end) = (maybe(span.start_bytes), maybe(span.peak_bytes), maybe(span.end_bytes));
        writeln!(out, "  {name:<18} {start:>8} {peak:>8} {end:>9}")
    };
    span("RSS", &p.rss)?;
    let Some(heap) = &p.heap else { return Ok(()) };
    span("Go HeapInuse", &heap.inuse)?;
    span("Go HeapIdle", &heap.idle)?;
    span("Go HeapReleased", &heap.released)
}

fn end_line(p: &ProcessSnapshot) -> Option<String> {
    Some(match (&p.exit, p.oom_killed) {
        (None, false) => return None,
        (None, true) => "OOM: the kernel's OOM killer chose this process; its end was not seen".to_owned(),
        (Some(ExitSnapshot { killed_by: Some(KilledBy::Oom), .. }), _) => {
            "OOM: killed by the kernel's OOM killer (signal 9)".to_owned()
        }
        (Some(ExitSnapshot { killed_by: Some(KilledBy::Process { pid, comm }), .. }), _) => {
            format!("killed: SIGKILL from pid {pid} ({})", clean(comm, 15))
        }
        (Some(ExitSnapshot { signal: Some(signal), .. }), _) => format!("killed by signal {signal}"),
        (Some(ExitSnapshot { code: Some(code), .. }), _) => format!("exited with code {code}"),
        (Some(_), _) => "has ended, nobody knows how".to_owned(),
    })
}

/// A blank inside a figure: no line is broken there.
const GLUE: char = '\u{a0}';

fn glued(figure: &str) -> String {
    figure.replace(' ', &GLUE.to_string())
}

/// The answer to the main question.
fn sentence(p: &ProcessSnapshot) -> String {
    let asked = p.advise.iter().filter(|(name, _)| is_giving(name)).map(|(_, call)| call.asked_bytes);
    let asked = asked.fold(p.munmap.asked_bytes, u64::saturating_add);
    let about = returned_is_approximate(p);
    let mut text = match (asked, p.returned_bytes) {
        (0, Some(0)) => "It gave nothing back".to_owned(),
        (_, Some(returned)) => {
            format!(
                "It gave back {}, the kernel took {}",
                glued(&size(asked)),
                glued(&maybe_about(Some(returned), about))
            )
        }
        (_, None) => format!("It gave back {}; what the kernel took could not be measured", glued(&size(asked))),
    };
    let reinflated = p.reinflated_bytes.filter(|bytes| *bytes > 0);
    match (p.refaulted_bytes, p.returned_bytes) {
        (Some(0), Some(_)) if reinflated.is_some() => {}
        (Some(0), Some(returned)) if returned > 0 => text.push_str(", nothing came back"),
        (Some(back), _) if back > 0 => {
            let ratio = p.time_to_refault.and_then(|t| t.within_1s_ratio);
            let soon = if ratio.is_some_and(|ratio| ratio >= 0.5) { "straight " } else { "" };
            let within = ratio.map(|r| format!(" ({} within 1{GLUE}s)", glued(&percent(r)))).unwrap_or_default();
            text.push_str(&format!(", {} came {soon}back{within}", glued(&size(back))));
        }
        (None, Some(returned)) if returned > 0 => text.push_str(", whether it came back was not watched"),
        _ => {}
    }
    if let Some(bytes) = reinflated {
        text.push_str(&format!(", {} came back inside huge pages (THP re-inflation)", glued(&size(bytes))));
    }
    if let Some(lazy) = p.lazy_bytes.filter(|lazy| *lazy > 0) {
        text.push_str(&format!("; {} is still charged until the kernel wants it (MADV_FREE)", glued(&size(lazy))));
    }
    if let Some(idle) = p.retained_idle_bytes {
        let held = if idle == 0 { "nothing".to_owned() } else { glued(&size(idle)) };
        text.push_str(&format!("; Go {} {held} idle", if p.exit.is_some() { "held" } else { "still holds" }));
    }
    text.push('.');
    text
}

/// Advice that is meant to give memory back; unknown advice is not guessed about.
fn is_giving(name: &str) -> bool {
    advice::NAMES.iter().any(|(value, known)| *known == name && (advice::unmaps(*value) || *value == advice::FREE))
}

fn wrapped(out: &mut impl Write, first: &str, indent: &str, text: &str) -> io::Result<()> {
    let mut line = first.to_owned();
    let mut empty = true;
    for word in text.split([' ', '\n']).filter(|word| !word.is_empty()) {
        if !empty && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            writeln!(out, "{line}")?;
            line = indent.to_owned();
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(&word.replace(GLUE, " "));
        empty = false;
    }
    writeln!(out, "{line}")
}
