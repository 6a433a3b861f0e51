//! In case memtrace itself is killed: what is new of every history is saved every few seconds, and what an earlier memtrace
//! left is taken up. Writing has a thread of its own: a slow disk must not hold up the events.
use crate::dossier::shelf::Shelf;
use crate::dossier::store::Store;
use crate::dossier::{BlackBox, Dossier, Kept, Past, Saving};
use crate::procfs::clock::{self, ClockOffset};
use crate::procfs::host::boot_id;
use crate::procfs::process::Stat;
use crate::sink::oom::Document;
use crate::sink::spill;
use crate::source::kmsg::KernelLine;
use crate::timeline::TimelineConfig;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

/// Then all is saved once more, and the savings before it go.
const SAVINGS: u32 = 30;
/// A saving of all takes at most this part of the room; until the next one those that follow it take as much again.
const WHOLE: u64 = 3;

#[derive(Clone, Copy, Debug)]
pub(super) struct SpillConfig {
    pub(super) every_ns: u64,
    /// Of all savings together.
    pub(super) max_bytes: u64,
    pub(super) timeline: TimelineConfig,
    pub(super) max_processes: usize,
}

/// Ready to be written; `is_whole`: those before it are not needed any more.
struct Written {
    content: Vec<u8>,
    is_whole: bool,
}

#[derive(Debug)]
pub(super) struct Spill {
    config: SpillConfig,
    boot_id: String,
    /// `None`: nothing can be written.
    to: Option<SyncSender<Written>>,
    writer: Option<JoinHandle<()>>,
    /// The last one could not be written.
    is_broken: Arc<AtomicBool>,
    next_ns: u64,
    savings: u32,
    bytes: u64,
    is_too_large: bool,
    is_started: bool,
    /// What the kernel's log said before this memtrace was started.
    log: Vec<KernelLine>,
}

impl Spill {
    /// And what was left by others. `log`: `None` where it cannot be read.
    pub(super) fn open(
        dossiers: &Path,
        config: SpillConfig,
        log: Option<Vec<KernelLine>>,
        black_box: &mut BlackBox,
    ) -> Option<Spill> {
        let boot_id = boot_id()?;
        let orphans = Shelf::orphans(dossiers);
        let mut past = Past::new(boot_id.clone(), config.timeline, config.max_processes);
        for (path, content) in orphans.iter().flat_map(Shelf::read) {
            match content.map_err(|why| why.to_string()).and_then(|bytes| spill::decode(&bytes)) {
                Ok(saving) => past.add(saving),
                Err(why) => log::warn!("{} is left out: {why}", path.display()),
            }
        }
        if past.is_before_reboot() {
            log::warn!("the machine was started again: no timeline goes on, and what was saved is told once");
        }
        black_box.remember(past);
        if let Some(log) = &log {
            black_box.log_read_up_to(log.iter().map(|line| line.sequence).max().unwrap_or(0));
        }
        let name = format!("{:020}-{}", clock::monotonic_ns(), std::process::id());
        let shelf = Shelf::create(dossiers, &name).inspect_err(|why| {
            log::warn!("nothing is saved below {} in case memtrace is killed: {why}", dossiers.display());
        });
        let (to, pieces) = sync_channel(1);
        let is_broken = Arc::new(AtomicBool::new(false));
        let broken = is_broken.clone();
        let write =
            |shelf| thread::Builder::new().name("spill".into()).spawn(move || write(shelf, orphans, &pieces, &broken));
        let writer = shelf.ok().and_then(|shelf| write(shelf).ok());
        Some(Spill {
            config,
            boot_id,
            to: writer.is_some().then_some(to),
            writer,
            is_broken,
            next_ns: 0,
            savings: 0,
            bytes: 0,
            is_too_large: false,
            is_started: false,
            log: log.unwrap_or_default(),
        })
    }

    /// Once, when everybody who is there is known: who was there, and is not any more.
    pub(super) fn lost(&mut self, t_ns: u64, store: &Store, black_box: &mut BlackBox) -> Vec<Dossier> {
        if std::mem::replace(&mut self.is_started, true) {
            return Vec::new();
        }
        let log = std::mem::take(&mut self.log);
        let (lost, left_out) = black_box
            .lost(t_ns, &log, |kept, is_of_this_boot| !(is_of_this_boot && lives(kept) || is_told(store, kept)));
        if left_out > 0 {
            log::warn!("{left_out} more processes ended while memtrace was not running");
        }
        lost
    }

    /// What is new, when it is time; a disk that is still busy with the last one is not waited for.
    pub(super) fn beat(&mut self, t_ns: u64, black_box: &mut BlackBox) {
        let Some(to) = self.to.as_ref().filter(|_| t_ns >= self.next_ns) else { return };
        self.next_ns = t_ns.saturating_add(self.config.every_ns);
        let max_bytes = self.config.max_bytes;
        let is_whole = self.savings == 0 || self.is_broken.swap(false, Relaxed);
        let share = max_bytes / WHOLE / black_box.watched().max(1) as u64;
        let share = usize::try_from(share).unwrap_or(usize::MAX);
        let (processes, over) = black_box.save(t_ns, is_whole, share / 2);
        let (boot_id, wall_offset_ns) = (self.boot_id.clone(), ClockOffset::of_wall().offset_ns);
        let log_sequence = black_box.log_sequence();
        let saving = Saving { boot_id, t_ns, wall_offset_ns, log_sequence, processes, over };
        let content = match spill::encode(saving, share) {
            Ok(content) => content,
            Err(why) => return log::warn!("nothing is saved in case memtrace is killed: {why}"),
        };
        let bytes = content.len() as u64;
        let before = if is_whole { 0 } else { self.bytes };
        let fits = before.saturating_add(bytes) <= max_bytes - max_bytes / WHOLE;
        if !fits && is_whole && !std::mem::replace(&mut self.is_too_large, true) {
            log::warn!("histories of {bytes} bytes have no room in case memtrace is killed: raise --max-dir-bytes");
        }
        if fits && to.try_send(Written { content, is_whole }).is_ok() {
            self.bytes = before + bytes;
            self.savings = if self.savings >= SAVINGS { 0 } else { self.savings + 1 };
        } else {
            // What was taken out of the black box for it is in the next one again.
            self.savings = 0;
        }
    }
}

/// It was ended as it should: nobody will look for its histories, unless it was a bug that ended it.
impl Drop for Spill {
    fn drop(&mut self) {
        if thread::panicking() {
            return std::mem::forget(self.to.take());
        }
        self.to = None;
        let _ = self.writer.take().map(JoinHandle::join);
    }
}

fn write(mut shelf: Shelf, mut orphans: Vec<Shelf>, pieces: &Receiver<Written>, is_broken: &AtomicBool) {
    let mut is_said = false;
    for Written { content, is_whole } in pieces {
        match shelf.write(&content, is_whole) {
            // What they held is in it.
            Ok(()) if is_whole => {
                is_said = false;
                orphans.drain(..).for_each(Shelf::remove);
            }
            Ok(()) => {}
            Err(why) => {
                is_broken.store(true, Relaxed);
                if !std::mem::replace(&mut is_said, true) {
                    log::warn!(
                        "{}: {why}: histories are not saved in case memtrace is killed",
                        shelf.directory().display()
                    );
                }
            }
        }
    }
    shelf.remove();
}

fn lives(kept: &Kept) -> bool {
    Stat::read(kept.pid).is_ok_and(|stat| stat.is_alive_since(Some(kept.start_time_ns)))
}

/// memtrace was killed after it had written the dossier.
fn is_told(store: &Store, kept: &Kept) -> bool {
    let of_pid = format!("-{}-", kept.pid);
    let ids = store.ids().unwrap_or_default();
    ids.iter().filter(|id| id.contains(&of_pid)).any(|id| {
        let document = store.read(id).ok().and_then(|content| Document::parse(&content).ok());
        document.is_some_and(|of| of.victim.start_time_ns.is_some_and(|start_ns| kept.started_at(start_ns)))
    })
}
