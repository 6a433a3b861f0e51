//! `memtrace explain`: one look at one process, nothing kept.
use super::heap::Heap;
use crate::aggregate::waterfall::{Context, Process, Tally};
use crate::cgroup::Account;
use crate::config::Format;
use crate::error::Error;
use crate::goruntime::{self, GoBuild, Runtime};
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

/// A look that leaves more unknown than it should was torn by the running target: it is repeated, so often at most.
const LOOKS: u32 = 3;

fn look(pid: u32) -> Result<Explanation, ProcError> {
    // Open first: it stays the page table of this program, whatever becomes of the pid.
    let pagemap = Pagemap::open(pid)?;
    let (go, runtime) = match goruntime::find(pid) {
        Ok(go) => {
            let runtime = Runtime::attach_to(pid, &go).map_err(|why| why.to_string());
            (Some(go.build), runtime)
        }
        Err(why) => (None, Err(why.to_string())),
    };
    let mut best: Option<Explanation> = None;
    for _ in 0..LOOKS {
        let explanation = look_once(pid, &pagemap, go.clone(), runtime.as_ref())?;
        let is_known = explanation.waterfall.is_mostly_known();
        let unknown = |e: &Explanation| e.waterfall.unknown_bytes;
        if best.as_ref().is_none_or(|best| unknown(&explanation) < unknown(best)) {
            best = Some(explanation);
        }
        if is_known {
            break;
        }
    }
    best.ok_or(ProcError::Vanished { pid })
}

fn look_once(
    pid: u32,
    pagemap: &Pagemap,
    go: Option<GoBuild>,
    runtime: Result<&Runtime, &String>,
) -> Result<Explanation, ProcError> {
    let status = Status::read(pid)?;
    let exe = process::exe(pid).ok().map(|exe| exe.to_string_lossy().into_owned());
    let process = Process { exe: exe.clone(), tmpfs: read_tmpfs_devices(pid) };
    let smaps = Smaps::read(pid)?;
    // Right before the pages are looked at: the target runs on.
    let (heap, runtime_not_read) =
        match runtime.map_err(String::clone).and_then(|r| Heap::read(r).map_err(|e| e.to_string())) {
            Ok(heap) => (Some(heap), None),
            Err(why) => (None, Some(why)),
        };
    let context = Context {
        marked_bytes: heap.as_ref().map(|heap| heap.sample.heap_marked),
        thp: read_thp(),
        go_version: go.as_ref().map(|go| go.version.clone()),
        release: read_release(),
    };
    let segments = heap.as_ref().map_or(&[][..], |heap| &heap.segments);
    let tally = Tally::new(&smaps, &process, segments, &context, ::procfs::page_size());
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
        sample: heap.map(|heap| heap.sample),
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
