//! What a person reads of a dossier: the verdict first, then what it rests on.
use super::document::{AnchorJson, Document, FrameJson, GrowthJson, SaidJson, SourceJson, WaterfallJson};
use super::spark::spark;
use crate::sink::text::{broken, clean, clean_path, duration, maybe, percent, size};
use crate::timeline::Signal;

const SPARK: usize = 48;
/// Beside two of indentation.
const COLUMNS: usize = 98;
/// Rows of a table.
const ROWS: usize = 8;
/// Of a stack.
const FRAMES: usize = 16;
/// Of what a runtime said, behind who it was.
const HEADLINE: usize = 70;
const SHOWN: [Signal; 13] = [
    Signal::Charge,
    Signal::Rss,
    Signal::RssAnon,
    Signal::HeapInuse,
    Signal::HeapLive,
    Signal::HeapGoal,
    Signal::HeapIdle,
    Signal::Goroutines,
    Signal::Threads,
    Signal::CgroupFile,
    Signal::CgroupShmem,
    Signal::CgroupKernel,
    Signal::OthersRss,
];

pub(super) struct Section {
    pub(super) title: &'static str,
    pub(super) lines: Vec<String>,
}

pub(super) fn headline(of: &Document) -> String {
    let how = match (of.cause.as_str(), &of.victim.killed_by) {
        ("cgroup_oom", _) => "killed by the OOM killer: its memory cgroup was at the limit".to_owned(),
        ("global_oom", _) => "killed by the OOM killer: the machine was out of memory".to_owned(),
        ("oom", _) => {
            "killed by the OOM killer: whether for its memory cgroup or for the machine is not known".to_owned()
        }
        ("headroom", _) if of.trigger == "command" => "alive: asked for".to_owned(),
        ("headroom", _) => "alive: little is left of its memory limit".to_owned(),
        ("killed", Some(by)) => {
            format!(
                "killed by {}/{}",
                of.victim.killer_pid.map_or("?".to_owned(), |pid| pid.to_string()),
                clean(by, 15)
            )
        }
        ("lost", _) if is_of_another_boot(of) => "was there before the reboot".to_owned(),
        ("lost", _) => "ended while memtrace was not running".to_owned(),
        ("fatal" | "go_out_of_memory", _) => match &of.go_said {
            Some(said) => clean(&title(said), HEADLINE),
            None => "ended by its Go runtime".to_owned(),
        },
        _ => match (of.victim.exit_code, of.victim.exit_signal) {
            (Some(code), _) => format!("ended with code {code}"),
            (_, Some(signal)) => format!("ended by signal {signal}"),
            _ => "ended".to_owned(),
        },
    };
    format!("{}  {how}", who(of))
}

pub(super) fn row(of: &Document) -> String {
    let seconds = of.killed_at_wall.get(..19).unwrap_or(&of.killed_at_wall);
    let (charge, limit) = (maybe(of.last(Signal::Charge)), maybe(of.last(Signal::Limit)));
    format!(
        "{seconds}Z  {:<6} {:<22} {:<18} {:>5}  {charge:>8} of {limit:<8}  {}",
        of.trigger,
        clean(&who(of), 22),
        of.verdict.pattern,
        percent(of.verdict.confidence_ratio),
        of.id,
    )
}

fn is_of_another_boot(of: &Document) -> bool {
    of.reconstructed.as_ref().is_some_and(|lost| lost.before_reboot)
}

/// In Go's own words.
fn title(said: &SaidJson) -> String {
    let kind = if said.error == "panic" { "panic" } else { "fatal error" };
    format!("{kind}: {}", said.message.as_deref().unwrap_or("(no text)"))
}

fn who(of: &Document) -> String {
    let comm = clean(of.victim.comm.as_deref().unwrap_or("?"), 15);
    format!("{}/{comm}", of.victim.pid.map_or("?".to_owned(), |pid| pid.to_string()))
}

/// Without those that have nothing to say.
pub(super) fn of(document: &Document) -> Vec<Section> {
    let all = [
        ("who and where", place(document)),
        ("verdict", verdict(document)),
        ("the last minutes (lowest … highest, then the last)", minutes(document)),
        ("what happened meanwhile", events(document)),
        ("what the cgroup was charged for", charge(document)),
        ("where RSS was, at first and at last", waterfalls(document)),
        ("heap in use, by site: at first → at last", growth(document, &document.top.heap)),
        ("goroutines, by start and creator: at first → at last", growth(document, &document.top.goroutines)),
        ("other anonymous mappings: at first → at last", growth(document, &document.top.mappings)),
        ("pages given back", ledger(document)),
        ("how the Go runtime ended it", said(document)),
        ("what Go said last", words(document)),
        ("what the kernel said", kernel(document)),
        ("on one clock (0: the trigger)", anchors(document)),
        ("how old each source is", sources(document)),
    ];
    all.into_iter().filter(|(_, lines)| !lines.is_empty()).map(|(title, lines)| Section { title, lines }).collect()
}

fn place(of: &Document) -> Vec<String> {
    let version = of.victim.go_version.as_deref().unwrap_or("not read as Go");
    let uncertainty = duration(of.wall_uncertainty_ns.max(1));
    let mut lines = vec![
        format!("{}   {}", clean_path(of.victim.exe.as_deref().unwrap_or("-"), 80), clean(version, 30)),
        format!("{} ± {uncertainty}", of.killed_at_wall),
    ];
    if let Some(lost) = &of.reconstructed {
        let when = match lost.found_at_ns {
            Some(found_ns) => {
                format!("{} before it was found to be gone", duration(found_ns - lost.saved_at_ns.min(found_ns)))
            }
            None => "before the reboot".to_owned(),
        };
        lines.push(format!("memtrace was not running: this is what was saved {when}"));
    }
    if let Some(path) = of.cgroup.as_ref().and_then(|cgroup| cgroup.account.get("path")?.as_str()) {
        lines.push(format!("{}   limit {}", clean_path(path, 80), maybe(of.last(Signal::Limit))));
    }
    lines
}

fn verdict(of: &Document) -> Vec<String> {
    let verdict = &of.verdict;
    let other = verdict.runner_up.as_ref().map_or(String::new(), |other| {
        format!("; else {} ({})", clean(&other.pattern, 30), percent(other.confidence_ratio))
    });
    let confidence = percent(verdict.confidence_ratio);
    let mut lines = vec![format!("{}, confidence {confidence}{other}", clean(&verdict.pattern, 30))];
    for evidence in &verdict.evidence {
        let when = evidence.t_ns.map_or(String::new(), |t_ns| format!(" ({})", before(of, t_ns)));
        lines.extend(broken("- ", &format!("{}{when}", evidence.text), COLUMNS));
    }
    verdict.advice.iter().for_each(|advice| lines.extend(broken("→ ", advice, COLUMNS)));
    lines
}

fn minutes(of: &Document) -> Vec<String> {
    let times = &of.timeline.t_ns;
    let (Some(first), Some(last)) = (times.first(), times.last()) else { return Vec::new() };
    let mut lines = vec![format!("{} points, {} … {}", times.len(), before(of, *first), before(of, *last))];
    for signal in SHOWN {
        let Some(values) = of.column(signal) else { continue };
        let (low, high) = (values.iter().flatten().min(), values.iter().flatten().max());
        if high == Some(&0) {
            continue;
        }
        let is_bytes = signal.name().ends_with("_bytes");
        let shown = |value: Option<u64>| match value {
            Some(value) if !is_bytes => value.to_string(),
            value => maybe(value),
        };
        let name = signal.name().trim_end_matches("_bytes");
        lines.push(format!(
            "{name:<18} {:>8} {} {:>8}  {:>8}",
            shown(low.copied()),
            spark(times, values, SPARK),
            shown(high.copied()),
            shown(of.last(signal)),
        ));
    }
    for gap in &of.timeline.gaps {
        lines.push(format!("{} … {}: memtrace was not running", before(of, gap.from_ns), before(of, gap.to_ns)));
    }
    if of.timeline.dropped_chunks > 0 {
        lines.push(format!("{} stretches of it went for want of room", of.timeline.dropped_chunks));
    }
    lines
}

fn events(of: &Document) -> Vec<String> {
    let all = &of.timeline.events;
    let mut lines = Vec::new();
    let earlier = of.timeline.dropped_events + all.len().saturating_sub(ROWS) as u64;
    if earlier > 0 {
        lines.push(format!("{earlier} earlier"));
    }
    for event in all.iter().skip(all.len().saturating_sub(ROWS)) {
        let heap = event.heap_inuse_bytes.map(|bytes| format!("; Go heap in use {}", size(bytes))).unwrap_or_default();
        let lead = format!("{:>10}  ", before(of, event.t_ns));
        lines.extend(broken(&lead, &format!("{}{heap}", event.text), COLUMNS));
    }
    lines
}

fn charge(of: &Document) -> Vec<String> {
    let rows = [
        ("charge", Signal::Charge),
        ("anonymous", Signal::CgroupAnon),
        ("page cache, tmpfs in it", Signal::CgroupFile),
        ("tmpfs and shared", Signal::CgroupShmem),
        ("kernel", Signal::CgroupKernel),
        ("sockets", Signal::CgroupSock),
        ("swap", Signal::CgroupSwap),
        ("RSS of other processes", Signal::OthersRss),
    ];
    let after = |name: &str| of.cgroup.as_ref()?.account.get(name)?.as_u64();
    let mut lines: Vec<String> = rows
        .iter()
        .filter_map(|(title, signal)| Some((title, of.last(*signal).filter(|bytes| *bytes > 0)?)))
        .map(|(title, bytes)| format!("{title:<26} {:>9}", size(bytes)))
        .collect();
    if let (Some(cgroup), Some(charge)) = (&of.cgroup, after("charge_bytes")) {
        let when = duration(cgroup.after_kill_ns);
        lines.push(format!("{:<26} {:>9}", format!("charge {when} after the kill"), size(charge)));
    }
    lines
}

fn waterfalls(of: &Document) -> Vec<String> {
    let Some(last) = &of.waterfall.last else { return Vec::new() };
    let first = of.waterfall.before.as_ref().filter(|first| first.t_ns != last.t_ns);
    let at = |fall: &WaterfallJson, name: &str| {
        fall.buckets.iter().find(|bucket| bucket.name == name).map_or(0, |bucket| bucket.bytes)
    };
    let mut names: Vec<&str> = last.buckets.iter().map(|bucket| bucket.name.as_str()).collect();
    names.sort_by_key(|name| std::cmp::Reverse(at(last, name)));
    let row = |name: &str, before: Option<u64>, bytes: u64| {
        format!("{:<28} {:>9} → {:>9}", clean(name, 28), maybe(before), size(bytes))
    };
    let mut lines =
        vec![format!("{} → {}", first.map_or("-".to_owned(), |f| before(of, f.t_ns)), before(of, last.t_ns))];
    lines.push(row("rss", first.map(|fall| fall.rss_bytes), last.rss_bytes));
    lines.extend(names.iter().take(ROWS).map(|name| row(name, first.map(|fall| at(fall, name)), at(last, name))));
    lines.push(row("unknown", first.map(|fall| fall.unknown_bytes), last.unknown_bytes));
    lines
}

fn growth(of: &Document, rows: &[GrowthJson]) -> Vec<String> {
    let has_two = of.sources.iter().any(|source| source.walked.is_some() && source.age_ns.is_some())
        || of.waterfall.before.as_ref().map(|fall| fall.t_ns) != of.waterfall.last.as_ref().map(|fall| fall.t_ns);
    let row = |row: &GrowthJson| {
        let before = if has_two { size(row.before_bytes) } else { "-".to_owned() };
        let count = format!("{}×", row.after_count);
        format!("{before:>9} → {:>9}  {count:>8}  {}", size(row.after_bytes), clean(&row.name, 64))
    };
    rows.iter().take(ROWS).map(row).collect()
}

fn ledger(of: &Document) -> Vec<String> {
    let ledger = &of.ledger;
    if ledger.returned_bytes.unwrap_or(0) == 0 && ledger.reclaim_stalls == 0 {
        return Vec::new();
    }
    let (returned, back) = (maybe(ledger.returned_bytes), maybe(ledger.refaulted_bytes));
    let soon =
        ledger.time_to_refault_p50_ns.map_or(String::new(), |ns| format!(" (half of it within {})", duration(ns)));
    let stalls = format!("{} for reclaim, {} in all", ledger.reclaim_stalls, duration(ledger.reclaim_stall_ns));
    vec![
        format!("returned {returned}, faulted in again {back}{soon}, kept {}", maybe(ledger.kept_bytes)),
        format!("stalls: {stalls}"),
    ]
}

fn kernel(of: &Document) -> Vec<String> {
    let kernel = &of.kernel;
    let mut lines = Vec::new();
    if let Some(pid) = kernel.allocator_pid {
        lines.push(format!("the allocation of pid {pid} started the OOM killer"));
    }
    if kernel.anon_rss_bytes.is_some() {
        lines.push(format!(
            "victim: anonymous {}, file {}, shmem {}, page tables {}, oom_score_adj {}",
            maybe(kernel.anon_rss_bytes),
            maybe(kernel.file_rss_bytes),
            maybe(kernel.shmem_rss_bytes),
            maybe(kernel.page_tables_bytes),
            kernel.oom_score_adj.map_or("-".to_owned(), |adj| adj.to_string()),
        ));
    }
    kernel.log.iter().for_each(|line| lines.extend(broken("", &line.text, COLUMNS)));
    lines
}

fn said(of: &Document) -> Vec<String> {
    let Some(said) = &of.go_said else { return Vec::new() };
    let mut lines = broken("", &title(said), COLUMNS);
    let place = |frame: &FrameJson| {
        let function = clean(frame.function.as_deref().unwrap_or("??"), 60);
        let file = frame.file.as_deref().and_then(|path| path.rsplit('/').next());
        match (file, frame.line) {
            (Some(file), Some(line)) => format!("  {function} {}:{line}", clean(file, 30)),
            _ => format!("  {function}"),
        }
    };
    lines.extend(said.stack.iter().take(FRAMES).map(place));
    lines
}

fn words(of: &Document) -> Vec<String> {
    let Some(words) = &of.last_words else { return Vec::new() };
    let gogc = words.gogc_percent.map_or("off".to_owned(), |percent| percent.to_string());
    let limit = words.gomemlimit_bytes.map_or("none".to_owned(), size);
    let phase = words.gc_phase.as_deref().map_or(String::new(), |phase| format!(", phase {}", clean(phase, 20)));
    let (goroutines, cycles) = (words.goroutines, words.gc_cycles);
    vec![
        format!(
            "HeapAlloc {}   HeapInuse {}   live at the last collection {}",
            size(words.heap_alloc_bytes),
            size(words.heap_inuse_bytes),
            size(words.heap_live_bytes),
        ),
        format!("HeapIdle {}   HeapReleased {}", size(words.heap_idle_bytes), size(words.heap_released_bytes)),
        format!("GOGC {gogc}   GOMEMLIMIT {limit}   goroutines {goroutines}   collections {cycles}{phase}"),
    ]
}

fn anchors(of: &Document) -> Vec<String> {
    let row = |anchor: &AnchorJson| {
        let within = if anchor.uncertainty_ns == 0 {
            "exact".to_owned()
        } else {
            format!("± {}", duration(anchor.uncertainty_ns))
        };
        format!("{:>10}  {within:<10}  {}", before(of, anchor.t_ns), clean(&anchor.what, 60))
    };
    of.anchors.iter().map(row).collect()
}

fn sources(of: &Document) -> Vec<String> {
    let row = |source: &SourceJson| {
        let age = source.age_ns.map_or("none".to_owned(), duration);
        let extent = match (source.walked, source.of, source.stopped_by.as_deref()) {
            (Some(walked), Some(of), Some("end" | "count")) => format!(": {walked} of {of}"),
            (Some(walked), of, Some(why)) => {
                format!(": {walked} of {}, ended by {}", of.map_or("?".to_owned(), |of| of.to_string()), clean(why, 20))
            }
            _ => String::new(),
        };
        format!("{age:>9}  {}{extent}", clean(&source.name, 60))
    };
    of.sources.iter().map(row).collect()
}

/// `-12.3 s`: on the clock that is 0 at the trigger.
fn before(of: &Document, t_ns: u64) -> String {
    let sign = if t_ns < of.killed_at_ns { "-" } else { "+" };
    format!("{sign}{}", duration(t_ns.abs_diff(of.killed_at_ns)))
}
