//! `memtrace goroutines` and `memtrace heap`: one look, nothing kept.
use crate::config::{ProfileFormat, ProfileOf, ProfileView};
use crate::enrich::profiles;
use crate::error::Error;
use crate::goruntime::{self, NotRead, Runtime, RuntimeError};
use crate::procfs::{clock, process};
use crate::profile::Profile;
use crate::sink::{ProfileReport, Profiled, folded, json, pprof, text};
use std::fs::File;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

pub fn profile(view: &ProfileView, style: text::Style, out: &mut dyn Write) -> Result<(), Error> {
    let report = look(view)?;
    let index = match &view.sample_index {
        None => report.profile.shown,
        Some(name) => report.profile.index_of(name).ok_or_else(|| {
            let known: Vec<&str> = report.profile.types.iter().map(|of| of.name.as_str()).collect();
            Error::Usage(format!("no values named {name}: there are {}", known.join(", ")))
        })?,
    };
    let exe = report.exe.clone().unwrap_or_default();
    let written = match view.format {
        ProfileFormat::Table => text::write_profile(out, &report, style),
        ProfileFormat::Json => json::write_profile(out, &report),
        ProfileFormat::Folded => folded::write_folded(out, &report.profile, index),
        ProfileFormat::Pprof => pprof::write_pprof(out, &report.profile, &exe, report.taken_ns),
        ProfileFormat::Svg => folded::write_svg(out, &report.profile, index, &title(&report, index)),
    };
    // A table says so itself.
    if !matches!(view.format, ProfileFormat::Table) {
        report.warnings().iter().for_each(|warning| log::warn!("{warning}"));
    }
    super::written(out, written)
}

fn look(view: &ProfileView) -> Result<ProfileReport, Error> {
    let pid = view.pid;
    let earlier = view.diff.as_ref().map(|path| {
        let file = File::open(path).and_then(pprof::read_pprof);
        file.map_err(|error| Error::Usage(format!("--diff {}: {error}", path.display())))
    });
    let earlier = earlier.transpose()?;
    let refused = |why: NotRead| match why {
        NotRead::NotPermitted => Error::Host(format!("pid {pid}: {why}")),
        why => Error::NoTarget(format!("pid {pid}: {why}")),
    };
    let found = goruntime::find(pid).map_err(refused)?;
    let runtime = Runtime::attach_to(pid, &found).map_err(refused)?;
    let unread = |why: RuntimeError| refused(why.into());
    let (profile, of) = match view.of {
        ProfileOf::Goroutines => {
            let (profile, totals) = profiles::goroutines(pid, &runtime).map_err(unread)?;
            (profile, Profiled::Goroutines(totals))
        }
        ProfileOf::Heap => {
            let (profile, totals) = profiles::heap(pid, &runtime).map_err(unread)?;
            if totals.rate_bytes == 0 {
                return Err(Error::Host(format!(
                    "pid {pid} has no profiling data: its runtime.MemProfileRate is 0, as the linker sets it for programs \
                     that never use the heap profile (import net/http/pprof or runtime/pprof to have one)"
                )));
            }
            (profile, Profiled::Heap(totals))
        }
    };
    let mut profile: Profile = match &earlier {
        Some(earlier) => profile.since(earlier).map_err(|why| {
            let path = view.diff.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
            Error::Usage(format!("--diff {path}: {why}"))
        })?,
        None => profile,
    };
    // By stack for people; pprof's own readers merge as they are told.
    if view.format != ProfileFormat::Pprof {
        profile = profile.merged();
    }
    profile.sort();
    Ok(ProfileReport {
        pid,
        t_ns: clock::monotonic_ns(),
        taken_ns: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_nanos() as i64),
        comm: process::comm(pid).ok(),
        exe: process::exe(pid).ok().map(|exe| exe.display().to_string()),
        go_version: found.build.version,
        of,
        profile,
        since: view.diff.as_ref().map(|path| path.display().to_string()),
        top: view.top,
    })
}

fn title(report: &ProfileReport, index: usize) -> String {
    let name = report.profile.types.get(index).map_or("", |of| of.name.as_str());
    let comm = report.comm.as_deref().unwrap_or("?");
    let since = report.since.as_ref().map(|file| format!(", what grew since {file}")).unwrap_or_default();
    format!("{name} of {}/{comm}{since}", report.pid)
}
