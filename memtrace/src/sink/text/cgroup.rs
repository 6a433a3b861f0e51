//! The account of a cgroup as a tree with bars, within 100 columns: what is wrong and what to do about it comes first.
use super::style::Style;
use super::table::{bar, wrapped};
use super::units::{clean, clean_path, maybe, maybe_count, percent, signed_size, size};
use crate::cgroup::Account;
use crate::cgroup::gomemlimit::{Limits, Verdict};
use crate::cgroup::reconcile::Reconciliation;
use crate::sink::{CgroupReport, GoMember, MemberRow};
use std::io::{self, Write};

/// Processes shown; JSON has all.
const SHOWN: usize = 10;

pub fn write_cgroup(out: &mut dyn Write, report: &CgroupReport, style: Style) -> io::Result<()> {
    for warning in &report.warnings {
        wrapped(out, "!  ", warning, |line| style.alarm(line))?;
    }
    let account = &report.account;
    let path = clean_path(&account.path.display().to_string(), 85);
    writeln!(out, "{}", style.bold(&format!("cgroup v{} {path}", account.version)))?;
    who(out, report)?;
    head(out, account, style)?;
    tree(out, account, style)?;
    report.reconciliation.as_ref().map_or(Ok(()), |of| bridge(out, of, style))?;
    processes(out, report, style)
}

fn who(out: &mut dyn Write, report: &CgroupReport) -> io::Result<()> {
    let identity = &report.identity;
    let names = report.names.as_ref();
    let parts = [
        ("namespace", names.and_then(|names| names.namespace.as_deref())),
        ("pod", names.and_then(|names| names.pod.as_deref()).or(identity.pod_uid.as_deref())),
        ("container", names.and_then(|names| names.container.as_deref())),
        ("id", identity.container_id.as_deref().map(|id| id.get(..12).unwrap_or(id))),
        ("unit", identity.unit.as_deref()),
        ("by", identity.runtime),
        ("qos", identity.qos),
    ];
    let known = parts.into_iter().filter_map(|(what, name)| Some(format!("{what} {}", clean(name?, 60))));
    let known = known.collect::<Vec<_>>().join("   ");
    if known.is_empty() { Ok(()) } else { wrapped(out, "", &known, str::to_owned) }
}

fn head(out: &mut dyn Write, a: &Account, style: Style) -> io::Result<()> {
    let charge = a.charge_bytes.unwrap_or(0);
    match a.effective_limit_bytes {
        Some(limit) if limit > 0 => {
            let share = charge as f64 / limit as f64;
            let line = format!("charge {} of {} ({})  {}", size(charge), size(limit), percent(share), bar(share));
            writeln!(out, "\n{}", if share >= 0.9 { style.alarm(&line) } else { line })?;
            let by = match &a.limit_path {
                Some(path) if *path == a.path => "its own limit".to_owned(),
                Some(path) => format!("the limit of {}", clean_path(&path.display().to_string(), 75)),
                None => "the limit of one above, out of sight".to_owned(),
            };
            writeln!(out, "  {by}")?;
        }
        _ => writeln!(out, "\ncharge {}, no limit", maybe(a.charge_bytes))?,
    }
    let (back, rest) = (maybe(a.reclaimable_bytes()), maybe(a.nonreclaimable_bytes()));
    writeln!(out, "  reclaimable without swap {back}   not reclaimable {rest}   peak {}", maybe(a.peak_bytes))?;
    let (room, most) = (maybe(a.headroom_bytes()), maybe(a.headroom_nonreclaimable_bytes()));
    writeln!(out, "  headroom {room}, after all that can be reclaimed {most}")?;
    writeln!(out, "  working set as the kubelet counts it {} (charge - inactive file)", maybe(a.working_set_bytes()))?;
    let (high, swap, most) = (maybe(a.high_bytes), maybe(a.swap_bytes), maybe(a.swap_limit_bytes));
    writeln!(out, "  high {high}   swap {swap} of {most}")?;
    let [low, high, hits, oom, kills] =
        [a.low_events, a.high_events, a.limit_hits, a.oom_events, a.oom_kills].map(maybe_count);
    writeln!(out, "  events: low {low}   high {high}   at the limit {hits}   oom {oom}   oom kills {kills}")?;
    let [offered, taken, dying] = [a.lazyfree_pages, a.lazyfreed_pages, a.dying_descendants].map(maybe_count);
    writeln!(
        out,
        "  MADV_FREE pages offered {offered}, taken {taken}   removed cgroups that still hold memory {dying}"
    )?;
    let Some(pressure) = &a.pressure else { return writeln!(out, "  pressure -") };
    let shares = |stall: &crate::procfs::psi::Stall| {
        format!("{:.2} / {:.2} / {:.2} %", stall.avg10_percent, stall.avg60_percent, stall.avg300_percent)
    };
    let full = pressure.full.as_ref().map_or("-".to_owned(), shares);
    writeln!(out, "  pressure (10 s / 60 s / 300 s): some {}   full {full}", shares(&pressure.some))
}

/// One line of the tree: how deep, its name, its bytes.
type Branch = (usize, &'static str, Option<u64>);

fn tree(out: &mut dyn Write, a: &Account, style: Style) -> io::Result<()> {
    let charge = a.charge_bytes.unwrap_or(0);
    let cache = a.file_bytes.map(|file| file.saturating_sub(a.shmem_bytes.unwrap_or(0)));
    let all: [Branch; 17] = [
        (0, "anonymous", a.anon_bytes),
        (0, "page cache", cache),
        (1, "inactive", a.inactive_file_bytes),
        (1, "active", a.active_file_bytes),
        (1, "of it mapped, with shared memory", a.file_mapped_bytes),
        (1, "of it dirty", a.file_dirty_bytes),
        (1, "of it being written", a.file_writeback_bytes),
        (0, "tmpfs and shared memory", a.shmem_bytes),
        (0, "kernel", a.kernel_bytes),
        (1, "slab, reclaimable", a.slab_reclaimable_bytes),
        (1, "slab, not reclaimable", a.slab_unreclaimable_bytes),
        (1, "kernel stacks", a.kernel_stack_bytes),
        (1, "page tables", a.page_tables_bytes),
        (1, "per-CPU data", a.percpu_bytes),
        (0, "sockets", a.sock_bytes),
        (0, "hugetlbfs", a.hugetlb_bytes),
        (0, "swap, beside the charge", a.swap_bytes),
    ];
    let title = format!("{:<42} {:>9} {:>7}", "what is charged", "bytes", "share");
    writeln!(out, "\n{}", style.dim(&title))?;
    let (branches, absent): (Vec<Branch>, Vec<Branch>) = all.into_iter().partition(|(.., bytes)| bytes.is_some());
    for (at, (depth, name, bytes)) in branches.iter().enumerate() {
        let rest = &branches[at + 1..];
        let is_last = rest.iter().find(|(deep, ..)| deep <= depth).is_none_or(|(deep, ..)| deep < depth);
        let trunk = match (depth, rest.iter().any(|(deep, ..)| *deep == 0)) {
            (0, _) => "",
            (_, true) => "│  ",
            (_, false) => "   ",
        };
        let name = format!("{trunk}{} {name}", if is_last { "└─" } else { "├─" });
        let share = bytes.filter(|_| charge > 0).map(|bytes| bytes as f64 / charge as f64);
        let (shown, bar) = (share.map_or("-".to_owned(), percent), share.map(bar).unwrap_or_default());
        writeln!(out, "{}", format!("{name:<42} {:>9} {shown:>7}  {bar}", maybe(*bytes)).trim_end())?;
    }
    let names: Vec<&str> = absent.iter().map(|(_, name, _)| *name).collect();
    if names.is_empty() {
        return Ok(());
    }
    wrapped(out, "", &format!("not said by version {} here: {}", a.version, names.join("; ")), |line| style.dim(line))
}

fn bridge(out: &mut dyn Write, of: &Reconciliation, style: Style) -> io::Result<()> {
    writeln!(out, "\n{}", style.dim("from RSS to the charge"))?;
    for row in of.rows.iter().filter(|row| row.bytes != 0) {
        writeln!(out, "{:<42} {:>9}", row.title, signed_size(row.bytes))?;
    }
    let share = of.residual_ratio().map_or("-".to_owned(), percent);
    let residual = signed_size(of.residual_bytes);
    writeln!(
        out,
        "{:<42} {residual:>9} {share:>7}  (each CPU counts ahead: up to {})",
        "residual",
        size(of.lag_bytes)
    )?;
    writeln!(out, "{:<42} {:>9}", "= charge", size(of.charge_bytes))
}

fn processes(out: &mut dyn Write, report: &CgroupReport, style: Style) -> io::Result<()> {
    let (rows, cgroups) = (&report.members, report.cgroups);
    let es = if rows.len() == 1 { "" } else { "es" };
    let below = if cgroups > 1 { format!(" in {cgroups} cgroups") } else { String::new() };
    writeln!(out, "\n{} process{es}{below}", rows.len())?;
    if rows.is_empty() {
        return Ok(());
    }
    let head =
        format!("{:>9}  {:>7} {:<15} {:<10} {:>9} {:>10}", "RSS", "PID", "COMMAND", "GO", "GO HOLDS", "GOMEMLIMIT");
    writeln!(out, "{}", style.dim(&head))?;
    for row in rows.iter().take(SHOWN) {
        process(out, row, style)?;
    }
    match rows.len().saturating_sub(SHOWN) {
        0 => Ok(()),
        more => writeln!(out, "… and {more} smaller"),
    }
}

fn process(out: &mut dyn Write, row: &MemberRow, style: Style) -> io::Result<()> {
    let limits = row.go.as_ref().and_then(|go| go.limits.as_ref().ok());
    let version = clean(row.go.as_ref().map_or("-", |go| go.version.as_str()), 10);
    let own = limits.map_or("-".to_owned(), |limits| limits.gomemlimit_bytes.map_or("none".to_owned(), size));
    let (rss, comm) = (maybe(row.member.status.rss_bytes()), clean(row.member.comm.as_deref().unwrap_or("?"), 15));
    let held = maybe(limits.map(|limits| limits.go_bytes));
    writeln!(out, "{rss:>9}  {:>7} {comm:<15} {version:<10} {held:>9} {own:>10}", row.member.pid)?;
    match row.go.as_ref().and_then(advice) {
        Some(words) => wrapped(out, "    → ", &words, |line| style.dim(line)),
        None => Ok(()),
    }
}

fn advice(go: &GoMember) -> Option<String> {
    let limits = match &go.limits {
        Ok(limits) => limits,
        Err(why) => return Some(format!("its runtime is not read: {why}")),
    };
    let (limit, beside) = (maybe(limits.limit_bytes), maybe(limits.beside_bytes()));
    let problem = match limits.verdict() {
        Verdict::NoLimit | Verdict::Fine => return None,
        Verdict::Unset => format!("no GOMEMLIMIT: the GC does not know of the limit of {limit}"),
        Verdict::AboveLimit => format!("GOMEMLIMIT is not below the limit of {limit}: it cannot prevent the kill"),
        Verdict::LeavesOutNonGo => {
            format!(
                "GOMEMLIMIT and the {beside} beside it (not Go's, not reclaimable) are more than the limit of {limit}"
            )
        }
        Verdict::TooClose => format!("GOMEMLIMIT and the {beside} beside it leave less than 5 % of {limit}"),
    };
    Some(format!("{problem}; {}", remedy(limits)))
}

fn remedy(limits: &Limits) -> String {
    match limits.suggested_bytes() {
        Some(bytes) => {
            let mib = bytes >> 20;
            format!(
                "set GOMEMLIMIT={mib}MiB (the limit, less 5 %, less what is not Go's now, shared among its Go processes)"
            )
        }
        None => format!(
            "no value would do: the live heap alone is {}; raise the limit, or hold less",
            size(limits.live_bytes)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::COLUMNS;
    use super::*;
    use crate::cgroup::identity::Identity;
    use crate::cgroup::reconcile::Members;
    use crate::enrich::members::Member;
    use crate::procfs::process::Status;

    const MIB: u64 = 1 << 20;

    fn text(report: &CgroupReport) -> String {
        let mut out = Vec::new();
        write_cgroup(&mut out, report, Style::default()).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn report() -> CgroupReport {
        let account = Account {
            path: "/sys/fs/cgroup/x".into(),
            version: 1,
            charge_bytes: Some(190 * MIB),
            effective_limit_bytes: Some(200 * MIB),
            limit_path: Some("/sys/fs/cgroup".into()),
            anon_bytes: Some(100 * MIB),
            file_bytes: Some(90 * MIB),
            inactive_file_bytes: Some(50 * MIB),
            active_file_bytes: Some(40 * MIB),
            ..Account::default()
        };
        let status = Status { rss_anon_bytes: Some(99 * MIB), rss_file_bytes: Some(0), ..Status::default() };
        let status = Status { rss_shmem_bytes: Some(0), ..status };
        let limits = Limits {
            limit_bytes: account.effective_limit_bytes,
            nonreclaimable_bytes: account.nonreclaimable_bytes(),
            go_bytes: 90 * MIB,
            all_go_bytes: 90 * MIB,
            ..Limits::default()
        };
        let go = Some(GoMember { version: "go1.26.6".into(), limits: Ok(limits) });
        let members = Members { rss_anon_bytes: 99 * MIB, ..Members::default() };
        CgroupReport {
            reconciliation: Reconciliation::of(&account, &members, 4096, 2),
            account,
            members: vec![MemberRow { member: Member { pid: 7, comm: Some("a\x1bb".into()), status }, go }],
            cgroups: 1,
            ..CgroupReport::default()
        }
    }

    #[test]
    fn what_matters_is_said_in_words() {
        let text = text(&report());
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for says in [
            "charge 190 MiB of 200 MiB (95.0 %)",
            "the limit of /sys/fs/cgroup",
            "reclaimable without swap 90.0 MiB not reclaimable 100 MiB peak -",
            "headroom 10.0 MiB, after all that can be reclaimed 100 MiB",
            "working set as the kubelet counts it 140 MiB",
            "oom kills -",
            "├─ anonymous 100 MiB 52.6 %",
            "└─ page cache 90.0 MiB 47.4 %",
            "not said by version 1 here: of it mapped",
            "anonymous, net 1.0 MiB",
            "residual 0 0 %",
            "= charge 190 MiB",
            "no GOMEMLIMIT: the GC does not know of the limit of 200 MiB; set GOMEMLIMIT=180MiB",
        ] {
            assert!(words.contains(says), "{says:?} is not in\n{text}");
        }
    }

    #[test]
    fn names_cannot_steer_the_terminal_and_lines_fit() {
        let long = "\x1b[31m/x".repeat(60);
        let mut report = report();
        report.account.path = long.clone().into();
        report.account.limit_path = Some(long.clone().into());
        report.warnings = vec![long.clone()];
        report.identity =
            Identity { container_id: Some(long.clone()), unit: Some(long.clone()), ..Identity::default() };
        report.members[0].go = Some(GoMember { version: long.clone(), limits: Err(long) });
        let text = text(&report);
        assert!(!text.contains('\x1b'), "{text}");
        for line in text.lines() {
            assert!(line.chars().count() <= COLUMNS, "{line}");
        }
    }

    #[test]
    fn nothing_known_is_no_panic() {
        assert!(text(&CgroupReport::default()).contains("charge -, no limit"));
    }
}
