//! `memtrace watch-oom` and `agent`: what the black box is made of.
use super::agent::Served;
use super::dossiers::{Dossiers, room};
use super::recording::Tap;
use super::reload::Reload;
use super::spill::{Spill, SpillConfig};
use super::start::{self, Filter};
use super::work::Processing;
use super::{Sampling, run};
use crate::config::{Targets, WatchOom};
use crate::decode::Decoder;
use crate::dossier::store::Store;
use crate::dossier::{BlackBox, BlackBoxConfig, Trigger};
use crate::enrich::Watcher;
use crate::error::Error;
use crate::host::facts::Pids;
use crate::procfs::clock;
use crate::sink::text::Style;
use crate::source::kmsg::{KernelLine, Kmsg};
use std::io::Write;
use std::process::ExitCode;

/// `memtrace watch-oom`.
pub fn watch_oom(config: WatchOom, out: impl Write + Send + 'static) -> Result<ExitCode, Error> {
    watch(config, None, || Ok(Tap::default()), out)
}

/// What it said before, too. It calls processes as the initial pid namespace does.
fn kernel_log(pids: Pids) -> Option<(Kmsg, Vec<KernelLine>)> {
    if pids != Pids::Initial {
        return None;
    }
    let log = Kmsg::open();
    log.inspect_err(|why| log::warn!("/dev/kmsg: {why}: no kernel log lines, which takes CAP_SYSLOG")).ok()
}

/// And `memtrace agent` and `record`. `tap`: begins what is recorded, on a thread of its own.
pub(super) fn watch(
    config: WatchOom,
    agent: Option<(Served, Reload)>,
    tap: impl FnOnce() -> Result<Tap, Error>,
    out: impl Write + Send + 'static,
) -> Result<ExitCode, Error> {
    let (served, reload) = agent.unzip();
    let WatchOom {
        session,
        triggers,
        headroom_percent,
        directory,
        max_dir_bytes,
        black_box,
        cpu_percent,
        max_rss_bytes,
    } = config;
    let go_fatal = triggers.contains(&Trigger::Fatal);
    // Of processes that were named each call is told.
    let sums = session.targets.discovers();
    let filter = Filter { families: u32::MAX, go_fatal, walks: true, sums, ..Filter::default() };
    let mut started = start::start(&session, filter)?;
    let decoder = Decoder { page_bytes: started.host.facts.page_bytes };
    let (log, logged) = kernel_log(started.host.facts.pids).unzip();
    // A command would inherit what is left: it is started with all that we were started with.
    if !matches!(session.targets, Targets::Command(_)) {
        served.iter().for_each(|served| served.drop_rights(&mut started.kernel));
    }
    let tap = tap()?;
    let watcher = Watcher::new(started.host.facts.cgroup.clone(), log, black_box.pace(cpu_percent));
    let timeline = black_box.timeline();
    let max_processes = black_box.max_processes;
    let start_ns = clock::monotonic_ns();
    let mut watched =
        BlackBox::new(BlackBoxConfig { start_ns, timeline, max_processes, max_rss_bytes, triggers, headroom_percent });
    let (max_bytes_saved, max_bytes) = room(max_dir_bytes);
    let spill = SpillConfig { every_ns: black_box.spill_ns(), max_bytes, timeline, max_processes };
    let spill = directory.as_deref().and_then(|directory| Spill::open(directory, spill, logged, &mut watched));
    let store = directory.map(|directory| Store::new(directory, max_bytes_saved));
    let dossiers = Dossiers::new(store, spill, served.as_ref().map(Served::listening), tap);
    let processing = Processing::watch(decoder, watched, session.format, Style { color: session.color }, dossiers, out);
    let sampling =
        Sampling { interval: Some(black_box.burst_interval), looks: 0, watcher: Some(watcher), served, reload };
    run(&session, started, processing, decoder, sampling)
}
