//! The fourth execution unit: waits for what cgroups and the host tell of their memory, and says it of each target there. A
//! thread of its own, since a target's memory is read at that instant, which may have to wait while memory is short.
use super::work::Work;
use crate::enrich::{HeapReader, News, TellWhere, Whereabouts};
use crate::error::Error;
use crate::event::{Meta, PressureEvent, PressureTold, TargetId};
use crate::host::mounts::CgroupFacts;
use crate::source::pressure::{PressureConfig, Watch};
use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread;
use tokio::sync::mpsc::{self, Sender, UnboundedReceiver};

/// Told and not yet passed on: each that waits for more is one that rests.
const QUEUE_TOLD: usize = 256;
/// Targets that one event is said of; of more it is said how many were left out.
const SAID_OF: usize = 64;

/// Starts it, where that is wanted. What is returned tells it where the targets are; it ends when that is dropped.
pub(super) fn start(
    config: Option<PressureConfig>,
    facts: CgroupFacts,
    work: SyncSender<Work>,
) -> Result<Option<TellWhere>, Error> {
    let Some(config) = config else { return Ok(None) };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::io("cannot start tokio"))?;
    let (where_in, where_out) = mpsc::unbounded_channel();
    thread::Builder::new()
        .name("pressure".into())
        .spawn(move || runtime.block_on(listen(config, facts, where_out, work)))
        .map_err(Error::io("cannot start a thread"))?;
    Ok(Some(Box::new(move |whereabouts| drop(where_in.send(whereabouts)))))
}

async fn listen(
    config: PressureConfig,
    facts: CgroupFacts,
    mut wheres: UnboundedReceiver<Whereabouts>,
    work: SyncSender<Work>,
) {
    let (to, mut told) = mpsc::channel(QUEUE_TOLD);
    let mut listener = Listener {
        version: facts.memory_version,
        targets: HashMap::new(),
        watches: HashMap::new(),
        descriptors: 0,
        noted: HashSet::new(),
        config,
        to,
        work,
    };
    let host = Watch::host(&listener.config, listener.to.clone());
    listener.note_refusals(&host);
    loop {
        tokio::select! {
            whereabouts = wheres.recv() => match whereabouts {
                Some(Whereabouts::In { target, heap, cgroups }) => listener.is_in(target, heap, cgroups),
                Some(Whereabouts::Gone(target)) => listener.is_gone(target),
                None => return,
            },
            Some(told) = told.recv() => listener.say(told),
        }
    }
}

struct Target {
    heap: HeapReader,
    cgroups: Vec<Arc<Path>>,
}

struct Listener {
    config: PressureConfig,
    version: Option<u8>,
    targets: HashMap<TargetId, Target>,
    watches: HashMap<Arc<Path>, Watch>,
    descriptors: usize,
    /// What was refused, and has been said.
    noted: HashSet<Result<i32, String>>,
    to: Sender<PressureTold>,
    work: SyncSender<Work>,
}

impl Listener {
    fn is_in(&mut self, target: TargetId, heap: HeapReader, cgroups: Vec<Arc<Path>>) {
        for (at, directory) in cgroups.iter().enumerate() {
            self.watch(directory, at == 0);
        }
        self.targets.insert(target, Target { heap, cgroups });
        self.forget_empty();
    }

    fn is_gone(&mut self, target: TargetId) {
        self.targets.remove(&target);
        self.forget_empty();
    }

    fn watch(&mut self, directory: &Arc<Path>, is_own: bool) {
        let Some(version) = self.version.filter(|_| !self.watches.contains_key(directory)) else { return };
        if self.descriptors >= self.config.max_descriptors {
            self.note(None, "what cgroups tell is not all heard: no room to watch more of them (max_descriptors)");
            return;
        }
        let watch = Watch::cgroup(directory.clone(), version, is_own, &self.config, self.to.clone());
        self.descriptors += watch.descriptors();
        self.note_refusals(&watch);
        self.watches.insert(directory.clone(), watch);
    }

    fn forget_empty(&mut self) {
        let used: HashSet<&Arc<Path>> = self.targets.values().flat_map(|target| &target.cgroups).collect();
        let descriptors = &mut self.descriptors;
        self.watches.retain(|directory, watch| {
            let is_used = used.contains(directory);
            *descriptors -= if is_used { 0 } else { watch.descriptors() };
            is_used
        });
    }

    /// A line for each reason, however many files and cgroups have it. A file that is not there says nothing new.
    fn note_refusals(&mut self, watch: &Watch) {
        for (file, why) in watch.refused.iter().filter(|(_, why)| why.kind() != io::ErrorKind::NotFound) {
            self.note(why.raw_os_error(), &format!("what cgroups tell is not all heard: {file}: {why}"));
        }
    }

    fn tell(&self, news: News) {
        let _ = self.work.send(Work::News(vec![news]));
    }

    fn note(&mut self, code: Option<i32>, text: &str) {
        if self.noted.insert(code.ok_or(text.to_owned())) {
            self.tell(News::Note(text.to_owned()));
        }
    }

    /// Of each target in that cgroup or below it; of the host's, of each target.
    fn say(&mut self, told: PressureTold) {
        let told = Arc::new(told);
        let is_there = |target: &Target| told.cgroup.as_ref().is_none_or(|of| target.cgroups.contains(of));
        let mut there: Vec<_> = self.targets.iter().filter(|(_, target)| is_there(target)).collect();
        there.sort_unstable_by_key(|(id, _)| **id);
        let left_out = there.len().saturating_sub(SAID_OF);
        for (id, target) in there.into_iter().take(SAID_OF) {
            let meta = Meta { t_ns: told.t_ns, tgid: target.heap.pid, tid: 0, target: *id, cpu: 0 };
            let event = PressureEvent { meta, told: told.clone(), go: target.heap.read() };
            self.tell(News::Pressure(Box::new(event)));
        }
        if left_out > 0 {
            self.note(None, &format!("what cgroups tell is said of {SAID_OF} targets at once, not of all there"));
        }
    }
}
