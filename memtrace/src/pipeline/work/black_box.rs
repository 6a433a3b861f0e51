//! What the black box is given.
use super::View;
use crate::config::file::File;
use crate::dossier::{BlackBox, GoSaid};
use crate::enrich::News;
use crate::event::{Event, FatalEvent};
use crate::pipeline::recording::Tap;
use crate::pipeline::sites::Sites;

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
        black_box.settle(file.dossiers.triggers, file.dossiers.headroom_percent, file.black_box.max_processes);
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
