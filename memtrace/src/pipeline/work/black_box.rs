//! What the black box is given.
use super::{Processing, View};
use crate::config::file::File;
use crate::dossier::{BlackBox, GoSaid, Rationed};
use crate::enrich::News;
use crate::event::{Event, FatalEvent};
use crate::pipeline::recording::Tap;
use crate::pipeline::sites::Sites;
use crate::procfs::own;
use std::io::Write;

impl<W: Write> Processing<W> {
    /// What is under way may be over with the next beat.
    pub(in crate::pipeline) fn awaits_beats(&self) -> bool {
        matches!(&self.view, View::Watch { black_box, .. } if black_box.has_cases())
    }
}

/// In its own words.
pub(super) fn said(sites: &mut Sites, event: &Event, fatal: &FatalEvent) -> GoSaid {
    GoSaid {
        target: fatal.meta.target,
        t_ns: fatal.meta.t_ns,
        what: fatal.what,
        message: sites.message(fatal),
        stack: sites.frames(event).unwrap_or_default(),
        counters: fatal.go,
    }
}

/// The configuration was read again, or could not be.
pub(super) fn settle(view: &mut View, read: Option<Box<File>>) {
    let View::Watch { black_box, dossiers, .. } = view else { return };
    dossiers.reloads.add(read.is_some());
    if let Some(file) = read {
        dossiers.limit(file.dossiers.max_bytes);
        let File { dossiers, limits, black_box: of, .. } = *file;
        black_box.settle(dossiers.triggers, dossiers.headroom_percent, of.max_processes, limits.max_rss_bytes);
    }
}

/// Histories become shorter where memtrace itself would take more than it may.
pub(super) fn ration(black_box: &mut BlackBox, t_ns: u64) {
    let rationed = black_box.ration(t_ns, own::rss_bytes);
    if rationed.is_some() || black_box.gives_back(t_ns) {
        own::give_back();
    }
    let Some((rationed, bytes)) = rationed else { return };
    let limit = "limits.max_rss_bytes";
    let each = format!("{} KiB of each process", bytes >> 10);
    match rationed {
        Rationed::Shorter => log::warn!("memtrace takes more than {limit}: histories are cut to {each}"),
        Rationed::Longer => log::info!("memtrace takes less than half of {limit}: histories may have {each} again"),
        Rationed::Exhausted => log::warn!(
            "memtrace takes more than {limit} though histories are cut to {each}: it holds no more that it could do without"
        ),
    }
}

/// What only a black box is told.
pub(super) fn watched(black_box: &mut BlackBox, tap: &mut Tap, news: News) {
    tap.news(&news);
    match news {
        News::Process(info) => black_box.register(info),
        News::Where(target, cgroup) => black_box.is_in(target, cgroup),
        News::NotMeant(target) => black_box.forget(target),
        News::Gone(target) => black_box.gone(target),
        News::Sample(sample) => black_box.sample(&Event::Sample(sample)),
        News::Point(target, point) => tap.point(target, black_box.point(target, *point).as_ref()),
        News::Closeup(closeup) => {
            tap.closeup(&closeup);
            black_box.closeup(*closeup);
        }
        News::Workload(target, workload) => black_box.workload(target, *workload),
        News::Account(target, t_ns, account) => black_box.account(target, t_ns, *account),
        News::AddressSpace(target, bytes) => black_box.address_space(target, bytes),
        News::Words(target, t_ns, sample) => black_box.words(target, t_ns, *sample),
        News::LastState(state) => black_box.last_state(*state),
        News::KernelLine(line) => black_box.kernel_line(line),
        News::Waterfall(..) | News::Beat { .. } | News::Pressure(_) | News::Note(_) => {}
    }
}
