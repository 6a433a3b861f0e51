//! `memtrace ps`: every Go process of the host, once.
use crate::cgroup::Account;
use crate::config::Format;
use crate::error::Error;
use crate::goruntime::{Finder, GoProcess, NotRead, Runtime, Sample};
use crate::host::facts::read_cgroup;
use crate::host::mounts::CgroupFacts;
use crate::procfs::cgroup::read_memberships;
use crate::procfs::pagemap::{PageState, Pagemap};
use crate::procfs::process::{self, Status};
use crate::sink::{GoList, GoRow, json, text};
use std::io::Write;

/// What one process refuses does not end the list.
pub fn ps(format: Format, style: text::Style, out: &mut dyn Write) -> Result<(), Error> {
    let list = list()?;
    if list.not_permitted > 0 {
        let (n, es) = (list.not_permitted, if list.not_permitted == 1 { "" } else { "es" });
        log::warn!("{n} process{es} may not be looked at: that takes root, or CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH");
    }
    let written = match format {
        Format::Text => text::write_ps(out, &list, style),
        Format::Json => json::write_ps(out, &list),
    };
    super::written(out, written)
}

fn list() -> Result<GoList, Error> {
    let pids = crate::procfs::pids().map_err(|error| Error::Host(error.to_string()))?;
    let (mut finder, cgroups) = (Finder::default(), read_cgroup());
    let mut list = GoList::default();
    for pid in pids {
        match finder.find(pid) {
            Ok(found) => list.rows.push(row(pid, &found, &cgroups)),
            Err(NotRead::Refused(why)) => list.rows.push(GoRow { refused: Some(why), ..common(pid, &cgroups) }),
            Err(NotRead::NotPermitted) => list.not_permitted += 1,
            Err(NotRead::NotGo | NotRead::Vanished) => {}
            Err(NotRead::Io(error)) => log::info!("pid {pid}: {error}"),
        }
    }
    list.rows.sort_by_key(|row| (std::cmp::Reverse(row.rss_bytes), row.pid));
    Ok(list)
}

fn row(pid: u32, found: &GoProcess, cgroups: &CgroupFacts) -> GoRow {
    let mut row = GoRow { build: Some(found.build.clone()), ..common(pid, cgroups) };
    let looked = Runtime::attach_to(pid, found).map_err(NotRead::reason).and_then(|runtime| {
        let sample = runtime.sample().map_err(|why| why.to_string())?;
        Ok((runtime.read_by, sample, released_resident(pid, &runtime)))
    });
    match looked {
        Ok((read_by, sample, released_resident_bytes)) => {
            let Sample { memstats, gogc_percent, gomemlimit_bytes, .. } = sample;
            row.read_by = Some(read_by);
            row.heap_inuse_bytes = Some(memstats.heap_inuse);
            row.retained_idle_bytes = Some(memstats.heap_idle.saturating_sub(memstats.heap_released));
            row.released_resident_bytes = released_resident_bytes;
            row.gogc_percent = gogc_percent;
            row.gomemlimit_bytes = gomemlimit_bytes;
        }
        Err(why) => row.refused = Some(why),
    }
    row
}

/// What Go gave back and the kernel still, or again, has in RSS.
fn released_resident(pid: u32, runtime: &Runtime) -> Option<u64> {
    let free = runtime.free_pages().ok()?;
    let pagemap = Pagemap::open(pid).ok()?;
    let mut bytes = 0u64;
    for range in &free.released {
        let add = &mut |run: crate::procfs::pagemap::Run| {
            if let PageState::Resident { .. } = run.state {
                bytes += run.range.end - run.range.start;
            }
        };
        pagemap.scan(range, add).ok()?;
    }
    Some(bytes)
}

/// What is known of any process.
fn common(pid: u32, cgroups: &CgroupFacts) -> GoRow {
    let directory = || cgroups.memory_directory(&read_memberships(pid).ok()?);
    let account = Account::of_member(pid, cgroups);
    GoRow {
        pid,
        comm: process::comm(pid).ok(),
        exe: process::exe(pid).ok().map(|exe| exe.display().to_string()),
        rss_bytes: Status::read(pid).ok().and_then(|status| status.rss_bytes()),
        limit_bytes: account.as_ref().and_then(|account| account.effective_limit_bytes),
        cgroup_path: account.map(|account| account.path).or_else(directory).map(|at| at.display().to_string()),
        ..GoRow::default()
    }
}
