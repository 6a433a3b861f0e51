//! `memtrace cgroup`: one look at one cgroup, nothing kept.
use crate::cgroup::Account;
use crate::cgroup::gomemlimit::Limits;
use crate::cgroup::identity::Identity;
use crate::cgroup::kubelet;
use crate::cgroup::reconcile::Reconciliation;
use crate::cgroup::tree::Tree;
use crate::config::{CgroupOf, Format};
use crate::enrich::members::{Member, members, sums};
use crate::error::Error;
use crate::goruntime::{Finder, NotRead, Runtime};
use crate::host::facts::{read_cgroup, read_cgroup_of, read_online_cpus};
use crate::host::mounts::{CgroupFacts, read_mounts};
use crate::procfs::cgroup::read_memberships;
use crate::procfs::clock;
use crate::procfs::process::Stat;
use crate::sink::{CgroupReport, GoMember, MemberRow, json, text};
use std::io::Write;
use std::path::Path;

/// A charge that moved by more than 1 % under the look is looked at again, so often at most.
const LOOKS: u32 = 3;

pub fn cgroup(of: &CgroupOf, format: Format, style: text::Style, out: &mut dyn Write) -> Result<(), Error> {
    let report = match of {
        CgroupOf::Own => of_process(std::process::id()),
        CgroupOf::Pid(pid) => of_process(*pid),
        CgroupOf::Path(path) => of_path(path),
    }?;
    let written = match format {
        Format::Text => text::write_cgroup(out, &report, style),
        Format::Json => json::write_cgroup(out, &report),
    };
    super::written(out, written)
}

fn of_process(pid: u32) -> Result<CgroupReport, Error> {
    let gone = |why: &dyn std::fmt::Display| Error::NoTarget(why.to_string());
    let memberships = read_memberships(pid).map_err(|why| gone(&why))?;
    // Of a zombie version 1 says the root cgroup, whatever it was.
    if Stat::read(pid).map_err(|why| gone(&why))?.state == 'Z' {
        return Err(gone(&format!("process {pid} has ended")));
    }
    let facts = read_cgroup();
    if let Some(directory) = facts.memory_directory(&memberships) {
        return look(&directory, &facts);
    }
    // In a cgroup namespace the name may lead nowhere: then by who is in which, or by the mounts of the process itself.
    if let Some(root) = &facts.memory_path
        && let Some(directory) = Tree::read(root).find(pid)
    {
        return look(directory, &facts);
    }
    let its = read_cgroup_of(pid);
    if let Some(directory) = its.own_path.as_ref().filter(|at| at.is_dir()) {
        return look(directory, &its);
    }
    let Some(place) = facts.memory_place(&memberships) else { return Err(no_controller()) };
    Err(Error::Host(format!(
        "process {pid} is in {place}, beyond the cgroup namespace of this one: look from the host (nsenter -C -t 1)"
    )))
}

fn no_controller() -> Error {
    Error::Host("no mounted cgroup hierarchy has the memory controller: mount one that does".into())
}

fn of_path(path: &Path) -> Result<CgroupReport, Error> {
    let facts = read_cgroup();
    let root = facts.memory_path.as_ref().ok_or_else(no_controller)?;
    let real = path.canonicalize().ok();
    if let Some(real) = real.as_ref().filter(|real| real.is_dir() && real.starts_with(root)) {
        return look(real, &facts);
    }
    let inside = path.to_str().and_then(|place| facts.memory_directory_at(place)).filter(|at| at.is_dir());
    // As it is called here, where that is from above our cgroup namespace.
    let shown = || Some(root.join(path.strip_prefix("/").ok()?)).filter(|at| at.is_dir());
    let inside = inside.or_else(shown);
    let directory = inside.ok_or_else(|| {
        Error::NoTarget(match real {
            Some(_) => format!("{} is no directory of the memory hierarchy, {}", path.display(), root.display()),
            None => format!("{}: no such cgroup", path.display()),
        })
    })?;
    look(&directory, &facts)
}

fn look(directory: &Path, facts: &CgroupFacts) -> Result<CgroupReport, Error> {
    let nothing = || {
        let why = "no memory is accounted there (the root of version 2, or no memory controller), or it is gone";
        Error::NoTarget(format!("{}: {why}", directory.display()))
    };
    let (version, root) = facts.memory_version.zip(facts.memory_path.as_ref()).ok_or_else(nothing)?;
    // A cgroup of version 2 may be without the controller: the nearest above has it.
    let at = directory.ancestors().take_while(|at| at.starts_with(root));
    let (at, mut account) =
        at.filter_map(|at| Some((at, Account::read(at, root, version)?))).next().ok_or_else(nothing)?;
    let mut report = CgroupReport::default();
    let cpus = read_online_cpus().into();
    for look in 1..=LOOKS {
        let tree = Tree::read(at);
        let found = members(&tree);
        let sums = sums(&found, &tree);
        let after = Account::read(at, root, version).ok_or_else(nothing)?;
        let charge = after.charge_bytes.unwrap_or(0);
        report.moved_bytes = account.charge_bytes.unwrap_or(0).abs_diff(charge);
        report.reconciliation = Reconciliation::of(&after, &sums, ::procfs::page_size(), cpus);
        report.by_frames = sums.held.is_some();
        report.cgroups = tree.directories.len();
        account = after;
        if report.moved_bytes <= charge / 100 || look == LOOKS {
            report.members = rows(found, &account);
            break;
        }
    }
    report.place = facts.inside(at).map(|(place, _)| place).unwrap_or_default();
    report.identity = identity(&report);
    report.names = kubelet::Names::on_node(&report.identity);
    report.warnings = warnings(&report, &account, directory != at);
    report.account = account;
    report.t_ns = clock::monotonic_ns();
    Ok(report)
}

/// By its path, else by what its first process sees mounted.
fn identity(report: &CgroupReport) -> Identity {
    let identity = Identity::of(&report.place);
    if identity.is_known() || report.place != "/" {
        return identity;
    }
    let mounts = report.members.first().map(|row| read_mounts(row.member.pid)).unwrap_or_default();
    Identity::of_mounts(mounts.iter().filter_map(|mount| Some((mount.root.as_str(), mount.point.to_str()?))))
}

fn warnings(report: &CgroupReport, account: &Account, is_above: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    if is_above {
        warnings
            .push(format!("the memory controller is not on there: this is the account of {}", account.path.display()));
    }
    if account.is_root {
        warnings.push("of the root version 1 charges no memory of the kernel: it is beside the charge".to_owned());
    }
    if !report.by_frames {
        warnings
            .push("shared pages and those charged elsewhere are not told apart: that takes CAP_SYS_ADMIN".to_owned());
    }
    if account.effective_limit_bytes.is_some() && account.limit_path.is_none() {
        warnings.push("the limit is set by a cgroup above those that are seen from here".to_owned());
    }
    if let Some(charge) = account.charge_bytes
        && report.moved_bytes > charge / 100
    {
        warnings.push("the charge moved by more than 1 % while it was looked at: no row is known better".to_owned());
    }
    warnings
}

/// By RSS; Go programs with what their GOMEMLIMIT has to hold.
fn rows(members: Vec<Member>, account: &Account) -> Vec<MemberRow> {
    let mut finder = Finder::default();
    let row = |member: Member| MemberRow { go: go(&mut finder, &member, account), member };
    let mut rows: Vec<MemberRow> = members.into_iter().map(row).collect();
    rows.sort_by_key(|row| (std::cmp::Reverse(row.member.status.rss_bytes()), row.member.pid));
    let limits = |row: &MemberRow| row.go.as_ref().and_then(|go| go.limits.clone().ok());
    let all_go_bytes = rows.iter().filter_map(limits).map(|limits| limits.go_bytes).sum();
    for limits in rows.iter_mut().filter_map(|row| row.go.as_mut()?.limits.as_mut().ok()) {
        limits.all_go_bytes = all_go_bytes;
    }
    rows
}

fn go(finder: &mut Finder, member: &Member, account: &Account) -> Option<GoMember> {
    let found = match finder.find(member.pid) {
        Ok(found) => found,
        Err(NotRead::Refused(why)) => return Some(GoMember { version: "-".to_owned(), limits: Err(why) }),
        Err(_) => return None,
    };
    let limits = Runtime::attach_to(member.pid, &found).map_err(NotRead::reason).and_then(|runtime| {
        let sample = runtime.sample().map_err(|why| why.to_string())?;
        // Ready memory that was never touched is not resident.
        let go_bytes = sample.mapped_ready.min(member.status.rss_anon_bytes.unwrap_or(0));
        Ok(Limits {
            limit_bytes: account.effective_limit_bytes,
            nonreclaimable_bytes: account.nonreclaimable_bytes(),
            gomemlimit_bytes: sample.gomemlimit_bytes,
            go_bytes,
            all_go_bytes: go_bytes,
            live_bytes: sample.heap_marked,
        })
    });
    Some(GoMember { version: found.build.version.clone(), limits })
}
