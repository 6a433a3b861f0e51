//! Facts → plan → load → self-test: from nothing to programs that have proven themselves.
use crate::config::{Session, Targets};
use crate::error::Error;
use crate::host::Host;
use crate::host::facts::Pids;
use crate::host::plan::{OWN_PIDS, Plan, Want};
use crate::host::rss::RssMethod;
use crate::kernel::{self, Kernel, Proof, Rings, Stacks};
use crate::procfs::own::raise_open_files;
use memtrace_common::params::Switches;

/// Wake the drain before its timer when this share of the ring is taken.
const WAKEUP_SHARE: u32 = 4;

/// Which events the kernel side sends, and with what.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Filter {
    /// Bits 1 << kind.
    pub(super) families: u32,
    pub(super) min_bytes: u64,
    pub(super) stacks: bool,
    /// Fatal errors of Go runtimes.
    pub(super) go_fatal: bool,
    /// Add up in the kernel what nobody wants each of.
    pub(super) sums: bool,
    /// Walk through the memory of the dying.
    pub(super) walks: bool,
}

pub(super) struct Started {
    pub(super) kernel: Kernel,
    pub(super) rings: Rings,
    pub(super) stacks: Option<Stacks>,
    pub(super) proof: Proof,
    pub(super) host: Host,
}

pub(super) fn start(session: &Session, filter: Filter) -> Result<Started, Error> {
    // A command would inherit it, and has few threads when it is started.
    if !matches!(session.targets, Targets::Command(_))
        && let Err(why) = raise_open_files(session.max_open_files)
    {
        log::warn!("the limit of open files stays as it is: {why}");
    }
    let host = Host::read();
    let want = Want {
        faults: session.faults,
        // In a pod's namespace everybody else's faults would cost more than those of the pod's own threads.
        whole_host: matches!(session.targets, Targets::AllGo) && host.facts.pids == Pids::Initial,
        exact: session.exact,
        go_fatal: filter.go_fatal,
        calls: session.calls,
        walks: filter.walks,
    };
    let switches = switches(session, filter, &host);
    let (params, missing) = host.params(switches);
    let mut plan = host.plan(&params, &missing, &want);
    require(&plan)?;
    let mut kernel = kernel::load(&params, session.sizes, &plan, host.facts.version, session.probe_log)?;
    let mut rings = kernel.rings()?;
    let stacks = Some(kernel.stacks()?);
    let proof = kernel::self_test(&mut kernel, &mut rings, &mut plan)?;
    require(&plan)?;
    for probe in plan.probes.iter().filter(|p| p.wanted && !p.program.required) {
        if let Some(o) = &probe.obstacle {
            log::warn!("{}: {}", probe.program.name, o.reason);
        }
    }
    if host.facts.pids != Pids::Initial {
        log::warn!("{OWN_PIDS}");
    }
    if plan.rss.method == RssMethod::None {
        log::warn!("no unmapped bytes: {}", plan.rss.reason);
    }
    Ok(Started { kernel, rings, stacks, proof, host })
}

fn switches(session: &Session, filter: Filter, host: &Host) -> Switches {
    let page_bytes = host.facts.page_bytes.max(1);
    let bit = |on: bool| u32::from(on);
    Switches {
        self_tgid: std::process::id(),
        exact: bit(session.exact),
        stacks: bit(filter.stacks),
        faults: bit(session.faults),
        sums: bit(filter.sums),
        discover: bit(session.targets.discovers()),
        min_pages: u32::try_from(filter.min_bytes.div_ceil(page_bytes)).unwrap_or(u32::MAX),
        families: filter.families,
        wakeup_bytes: session.sizes.ring_bytes / WAKEUP_SHARE,
    }
}

/// One line per fix, the first obstacle first.
fn require(plan: &Plan) -> Result<(), Error> {
    if plan.is_ready() {
        return Ok(());
    }
    let required = plan.probes.iter().filter(|p| p.program.required).filter_map(|p| p.obstacle.as_ref());
    let first = plan.blockers.iter().chain(required).next();
    let reason = first.map_or("this host cannot be traced", |o| o.reason.as_str());
    let fix = first.and_then(|o| o.fix.as_deref()).unwrap_or("see `memtrace doctor`");
    Err(Error::Host(format!("{reason}; {fix}")))
}
