//! `memtrace explain`: one look at one process, nothing kept.
use crate::cgroup::Account;
use crate::config::{Explain, Format};
use crate::enrich::waterfall::Look;
use crate::error::Error;
use crate::goruntime::Finder;
use crate::host::facts::read_cgroup;
use crate::procfs::process;
use crate::procfs::{ProcError, clock};
use crate::sink::{Explanation, json, text};
use std::io::{self, Write};

/// Fails soft: what cannot be read of the Go runtime leaves the kernel's buckets, and says why.
pub fn explain(view: Explain, style: text::Style, out: &mut dyn Write) -> Result<(), Error> {
    let explanation = look(view.pid).map_err(|error| match error {
        ProcError::Vanished { .. } => Error::NoTarget(error.to_string()),
        ProcError::Denied { .. } => {
            Error::Host(format!("{error}: needs root, or CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"))
        }
        other => Error::Io { what: "cannot look at the process", source: io::Error::other(other.to_string()) },
    })?;
    let written = match view.format {
        Format::Text => text::write_explain(out, &explanation, view, style),
        Format::Json => json::write_explain(out, &explanation),
    };
    super::written(out, written)
}

fn look(pid: u32) -> Result<Explanation, ProcError> {
    // First: a process that has ended belongs to the root cgroup, and the look says whether it has.
    let cgroup = Account::of_member(pid, &read_cgroup());
    let Look { waterfall, sample, allocator, go, not_read, exe, status_rss_bytes, smaps_rss_bytes, counts_zero_pages } =
        Look::take(pid, &mut Finder::default())?;
    Ok(Explanation {
        pid,
        t_ns: clock::monotonic_ns(),
        comm: process::comm(pid).ok(),
        exe,
        waterfall,
        status_rss_bytes,
        smaps_rss_bytes,
        go,
        sample,
        allocator,
        runtime_not_read: not_read,
        cgroup,
        counts_zero_pages,
    })
}
