//! The drain: empties the rings, and notices everything that can end a run.
use super::End;
use super::child::TracedChild;
use super::follow::{Order, Orders};
use super::reload::Reload;
use super::work::Work;
use crate::error::Error;
use crate::procfs::clock;
use crate::source::ring::Drain;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

/// Its timer: ring bytes ≥ rate × this × record size.
const DRAIN: Duration = Duration::from_millis(5);
/// While nothing comes it looks less and less often, down to this: a ring that fills wakes it. Where nobody waits for a line
/// it begins with this, and goes down to less.
const IDLE: Duration = Duration::from_millis(50);
const MOST_IDLE: Duration = Duration::from_millis(500);

/// How often it looks at the least.
#[derive(Clone, Copy)]
pub(super) enum Haste {
    /// Somebody reads what comes of it, at each tick at the latest.
    Lines(Duration),
    /// The points of each tick are made with it.
    Points(Duration),
    /// What cannot wait wakes it.
    Wakeups,
}

impl Haste {
    /// While something comes, and when nothing does.
    fn pauses(self) -> (Duration, Duration) {
        let before = |tick: Duration| (tick / 4).clamp(DRAIN, IDLE);
        match self {
            Haste::Lines(tick) => (DRAIN, before(tick)),
            Haste::Points(tick) => (before(tick), before(tick)),
            Haste::Wakeups => (IDLE, MOST_IDLE),
        }
    }
}

#[expect(deprecated, reason = "its unsafe successor is for types whose fd may change; an OwnedFd's does not")]
fn watch(fd: OwnedFd) -> Result<AsyncFd<OwnedFd>, Error> {
    AsyncFd::new(fd).map_err(Error::io("cannot watch the rings"))
}

/// The drain and everything that can end a run.
pub(super) struct Loop<'a> {
    pub(super) drain: &'a mut Drain,
    pub(super) work: &'a SyncSender<Work>,
    pub(super) orders: &'a Orders,
    pub(super) child: Option<TracedChild>,
    pub(super) end: UnboundedReceiver<End>,
    /// Of `agent`.
    pub(super) reload: Option<Reload>,
}

/// Never, where it means nothing.
async fn asked(command: &mut Option<Signal>) -> Option<()> {
    match command {
        Some(signal) => signal.recv().await,
        None => std::future::pending().await,
    }
}

impl Loop<'_> {
    /// The configuration, where it is asked for or has changed.
    fn reload(&mut self, is_asked: bool) {
        let Some(reload) = &mut self.reload else { return };
        if !is_asked && !reload.is_due(clock::monotonic_ns()) {
            return;
        }
        let read = reload.read();
        if let Some(file) = &read {
            self.orders.send(Order::Settings(file.clone()));
        }
        let _ = self.work.send(Work::Settings(read));
    }

    /// `is_watch`: SIGUSR1 asks for dossiers.
    pub(super) async fn run(
        &mut self,
        duration: Option<Duration>,
        is_watch: bool,
        haste: Haste,
    ) -> Result<(End, Option<ExitCode>), Error> {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::io("cannot watch signals"))?;
        let mut terminate = signal(SignalKind::terminate()).map_err(Error::io("cannot watch signals"))?;
        let mut command = match is_watch {
            true => Some(signal(SignalKind::user_defined1()).map_err(Error::io("cannot watch signals"))?),
            false => None,
        };
        // Others end by it, as programs do.
        let mut hangup = match self.reload {
            Some(_) => Some(signal(SignalKind::hangup()).map_err(Error::io("cannot watch signals"))?),
            None => None,
        };
        let fds = self.drain.wakeup_fds().map_err(Error::io("cannot watch the rings"))?;
        let [events, urgent] = fds;
        let events = watch(events)?;
        let urgent = watch(urgent)?;
        let (busy, idle) = haste.pauses();
        let mut pause = busy;
        let timer = tokio::time::sleep(pause);
        tokio::pin!(timer);
        let deadline = async {
            match duration {
                Some(d) => tokio::time::sleep(d).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(deadline);
        if let Some(child) = &mut self.child {
            child.go()?;
        }
        let mut failed = None;
        loop {
            let end = tokio::select! {
                () = &mut timer => None,
                Ok(mut ready) = events.readable() => { ready.clear_ready(); None }
                Ok(mut ready) = urgent.readable() => { ready.clear_ready(); None }
                () = &mut deadline => Some(End::Asked),
                _ = interrupt.recv() => Some(End::Asked),
                _ = terminate.recv() => Some(End::Asked),
                Some(()) = asked(&mut command) => { drop(self.work.try_send(Work::Command(clock::monotonic_ns()))); None }
                Some(()) = asked(&mut hangup) => { self.reload(true); None }
                Some(end) = self.end.recv() => Some(end),
            };
            match (end, &mut self.child) {
                (None, _) => self.reload(false),
                // No fault of the command's: it runs on to its end, no longer observed.
                (Some(end @ End::Failed(_)), Some(_)) => {
                    failed.get_or_insert(end);
                    self.orders.send(Order::Detach(sync_channel(1).0));
                }
                (Some(end), child) => {
                    // A command may take its time to end.
                    self.orders.send(Order::Rest);
                    let gone = matches!(end, End::TargetsGone);
                    let code = child.as_mut().and_then(|c| if gone { c.reap() } else { c.finish() });
                    return Ok((failed.unwrap_or(end), code));
                }
            }
            let is_idle = !self.drain.drain(|batch| self.work.try_send(Work::Batch(batch)).is_ok());
            pause = if is_idle { (pause + pause / 4).min(idle) } else { busy };
            timer.as_mut().reset(Instant::now() + pause);
            if let Some(code) = self.child.as_mut().and_then(TracedChild::ended) {
                return Ok((failed.unwrap_or(End::TargetsGone), Some(code)));
            }
        }
    }
}
