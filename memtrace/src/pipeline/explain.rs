//! `memtrace explain`: one look at one process, nothing kept.
use crate::aggregate::waterfall::{Context, Process, Tally};
use crate::cgroup::Account;
use crate::config::Format;
use crate::error::Error;
use crate::goruntime::{self, NotRead};
use crate::host::facts::{read_cgroup, read_release, read_thp};
use crate::host::mounts::read_tmpfs_devices;
use crate::procfs::cgroup::read_memberships;
use crate::procfs::pagemap::Pagemap;
use crate::procfs::process::{self, Status};
use crate::procfs::vmas::Smaps;
use crate::procfs::{ProcError, clock};
use crate::sink::{Explanation, json, text};
use std::io::{self, Write};

/// Fails soft: what cannot be read of the Go runtime leaves the kernel's buckets, and says why.
pub fn explain(pid: u32, format: Format, style: text::Style, out: &mut dyn Write) -> Result<(), Error> {
    let explanation = look(pid).map_err(|error| match error {
        ProcError::Vanished { .. } => Error::NoTarget(error.to_string()),
        ProcError::Denied { .. } => Error::Host(format!("{error}: needs root or CAP_SYS_PTRACE")),
        other => Error::Io { what: "cannot look at the process", source: io::Error::other(other.to_string()) },
    })?;
    let written = match format {
        Format::Text => text::write_explain(out, &explanation, style),
        Format::Json => json::write_explain(out, &explanation),
    };
    match written.and_then(|()| out.flush()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(Error::io("cannot write the output")),
    }
}

fn look(pid: u32) -> Result<Explanation, ProcError> {
    // Open first: it stays the page table of this program, whatever becomes of the pid.
    let pagemap = Pagemap::open(pid)?;
    let status = Status::read(pid)?;
    let (go, runtime_not_read) = match goruntime::find(pid) {
        Ok(go) => (Some(go.build), go.refused.or(Some("its spans are not read".to_owned()))),
        Err(NotRead::NotGo) => (None, Some(NotRead::NotGo.to_string())),
        Err(why) => (None, Some(why.to_string())),
    };
    let context = Context {
        marked_bytes: None,
        thp: read_thp(),
        go_version: go.as_ref().map(|go| go.version.clone()),
        release: read_release(),
    };
    let exe = process::exe(pid).ok().map(|exe| exe.to_string_lossy().into_owned());
    let process = Process { exe: exe.clone(), tmpfs: read_tmpfs_devices(pid) };
    let smaps = Smaps::read(pid)?;
    let tally = Tally::new(&smaps, &process, &[], &context, ::procfs::page_size());
    let waterfall = tally.run(&context, |range, on_run| pagemap.scan(range, on_run))?;
    let after = Status::read(pid).ok();
    Ok(Explanation {
        pid,
        t_ns: clock::monotonic_ns(),
        comm: process::comm(pid).ok(),
        exe,
        waterfall,
        status_rss_bytes: [status.rss_bytes(), after.and_then(|status| status.rss_bytes())],
        smaps_rss_bytes: smaps.rss_bytes(),
        go,
        runtime_not_read,
        cgroup: account(pid),
        counts_zero_pages: !pagemap.tells_zero(),
    })
}

/// Of the cgroup the process is in; `None`: no memory controller, or not to be seen from here.
fn account(pid: u32) -> Option<Account> {
    let facts = read_cgroup();
    let directory = facts.memory_directory(&read_memberships(pid).ok()?)?;
    Account::read(&directory, facts.memory_path.as_ref()?, facts.memory_version?)
}
