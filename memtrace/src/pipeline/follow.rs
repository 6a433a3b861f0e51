//! The follower thread: what it is asked, in order, and between that the samplers' clock, which is its own: to be woken by
//! another thread ten times a second costs more than what is then looked at.
use super::supervisor::Supervisor;
use super::work::{Ask, Work};
use super::{End, NEWS_AT_ONCE};
use crate::config::file::File;
use crate::dossier::Need;
use crate::enrich::{FollowError, Follower, News};
use crate::error::Error;
use crate::procfs::clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// Task events between processing and follower.
const QUEUE_TASKS: usize = 65536;
/// A beat that nobody waits for, and that comes with no news, is told so often, or as often as the supervisor wants it.
const BEAT_NS: u64 = 1_000_000_000;

/// What the follower is asked to do.
pub(super) enum Order {
    Ask(Ask),
    /// The configuration was read again.
    Settings(Box<File>),
    /// There are no more ticks.
    Rest,
    /// Ends all attachments and says so; the queue's end is the order to stop.
    Detach(SyncSender<()>),
}

/// The way to the follower; each order knows since when it waits.
#[derive(Clone)]
pub(super) struct Orders(SyncSender<(u64, Order)>);

impl Orders {
    /// `every`: the samplers' clock.
    pub(super) fn new(every: Duration) -> (Orders, Turns) {
        let (orders_in, orders_out) = sync_channel(QUEUE_TASKS);
        (Orders(orders_in), Turns::new(orders_out, every))
    }

    /// Waits for room.
    pub(super) fn send(&self, order: Order) {
        // Who is gone does nothing more.
        let _ = self.0.send((clock::monotonic_ns(), order));
    }

    /// Drops what finds no room.
    pub(super) fn ask(&self, ask: Ask) {
        let _ = self.0.try_send((clock::monotonic_ns(), Order::Ask(ask)));
    }
}

/// Whose turn it is. Between two ticks all is done that was asked before the first of them ended, however slow that is; and
/// no flood of orders keeps a tick waiting for more.
pub(super) struct Turns {
    orders: Receiver<(u64, Order)>,
    every_ns: u64,
    /// `None`: no more of them.
    due_ns: Option<u64>,
    /// When the last one ended.
    ticked_ns: u64,
    /// What was asked before is done.
    since_ns: u64,
    held: Option<(u64, Order)>,
}

enum Turn {
    Order(Order),
    /// What was asked before this time is done.
    Tick(u64),
}

impl Turns {
    fn new(orders: Receiver<(u64, Order)>, every: Duration) -> Turns {
        let every_ns = u64::try_from(every.as_nanos()).unwrap_or(u64::MAX);
        let now_ns = clock::monotonic_ns();
        let due_ns = now_ns.checked_add(every_ns);
        Turns { orders, every_ns, due_ns, ticked_ns: now_ns, since_ns: now_ns, held: None }
    }

    /// `None`: nobody can ask any more.
    fn next(&mut self) -> Option<Turn> {
        if let Some((asked_ns, order)) = self.held.take() {
            return Some(self.order(asked_ns, order));
        }
        loop {
            let now_ns = clock::monotonic_ns();
            let left_ns = self.due_ns.map_or(u64::MAX, |due_ns| due_ns.saturating_sub(now_ns));
            // With no time left it takes what is there.
            match self.orders.recv_timeout(Duration::from_nanos(left_ns)) {
                Ok((asked_ns, order)) if left_ns == 0 && asked_ns >= self.ticked_ns => {
                    self.held = Some((asked_ns, order));
                    return Some(Turn::Tick(self.since_ns));
                }
                Ok((asked_ns, order)) => return Some(self.order(asked_ns, order)),
                Err(RecvTimeoutError::Timeout) if left_ns == 0 => {
                    self.since_ns = now_ns;
                    return Some(Turn::Tick(now_ns));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    fn order(&mut self, asked_ns: u64, order: Order) -> Turn {
        self.since_ns = self.since_ns.max(asked_ns);
        Turn::Order(order)
    }

    /// The next tick is where the clock has it, or at once where that is over.
    fn ticked(&mut self) {
        self.ticked_ns = clock::monotonic_ns();
        self.due_ns = self.due_ns.map(|due_ns| due_ns.saturating_add(self.every_ns).max(self.ticked_ns));
    }

    fn stop_ticking(&mut self) {
        self.due_ns = None;
    }
}

/// What the follower has to say, and to whom.
pub(super) struct Told {
    pub(super) work: SyncSender<Work>,
    pub(super) end: tokio::sync::mpsc::UnboundedSender<End>,
    /// Somebody waits for the next beat.
    pub(super) is_awaited: Arc<AtomicBool>,
    /// A line is due at each tick.
    pub(super) has_lines: bool,
}

impl Told {
    /// A round has news of everybody: each alone would wake the processing thread.
    fn hand_on(&self, news: &mut Vec<News>) {
        if !news.is_empty() {
            let _ = self.work.send(Work::News(std::mem::take(news)));
        }
    }

    fn ended(&self, is_last: bool) {
        if is_last {
            let _ = self.end.send(End::TargetsGone);
        }
    }

    fn failed(&self, why: FollowError) {
        let _ = self.end.send(End::Failed(match why {
            FollowError::Kernel(e) => e.into(),
            FollowError::Gone(_) => Error::NoTarget(why.to_string()),
        }));
    }
}

/// The thread, until nobody can ask any more.
pub(super) fn follow(mut follower: Follower, mut turns: Turns, told: &Told) {
    let mut end_ns = clock::monotonic_ns();
    let mut beat_ns = 0;
    // Sooner than it must be.
    let every_ns = Supervisor::every_ns().map_or(BEAT_NS, |every_ns| BEAT_NS.min(every_ns / 2));
    let mut news = Vec::new();
    while let Some(turn) = turns.next() {
        let mut tell = |one| {
            news.push(one);
            if news.len() >= NEWS_AT_ONCE {
                told.hand_on(&mut news);
            }
        };
        let done = match turn {
            Turn::Tick(since_ns) => {
                let done = follower.tick(since_ns, &mut tell).and_then(|is_last| {
                    told.ended(is_last);
                    if !told.has_lines {
                        return Ok(());
                    }
                    told.hand_on(&mut news);
                    let programs = follower.counters()?;
                    let _ = told.work.send(Work::Tick { t_ns: clock::monotonic_ns(), programs });
                    Ok(())
                });
                if let Some(News::Beat { t_ns, .. }) = news.last() {
                    let is_awaited = told.is_awaited.load(Relaxed) || t_ns.saturating_sub(beat_ns) >= every_ns;
                    match news.len() == 1 && !is_awaited {
                        true => news.clear(),
                        false => beat_ns = *t_ns,
                    }
                }
                turns.ticked();
                done
            }
            Turn::Order(Order::Ask(ask)) => answer(&mut follower, ask, told, &mut tell),
            Turn::Order(Order::Settings(file)) => follower.settle_by(&file, &mut tell),
            Turn::Order(Order::Rest) => {
                turns.stop_ticking();
                Ok(())
            }
            Turn::Order(Order::Detach(done)) => {
                let window = follower.detach(&mut tell).map(|t_ns| end_ns = t_ns);
                told.hand_on(&mut news);
                let _ = done.send(());
                window
            }
        };
        told.hand_on(&mut news);
        done.unwrap_or_else(|why| told.failed(why));
    }
    follower.stop(&mut |one| news.push(one));
    told.hand_on(&mut news);
    let programs = follower.counters().unwrap_or_default();
    let _ = told.work.send(Work::Finish { t_ns: end_ns, programs, skipped_runs: follower.skipped_runs() });
}

fn answer(follower: &mut Follower, ask: Ask, told: &Told, tell: &mut impl FnMut(News)) -> Result<(), FollowError> {
    match ask {
        Ask::Task(event) => return follower.task(&event, tell).map(|is_last| told.ended(is_last)),
        Ask::UsesFree(pid) => follower.uses_free(pid),
        Ask::Words(words) => follower.words(&words, tell),
        Ask::Walk(walk) => follower.walk(&walk, tell),
        Ask::Look { pid, target, need } => match need {
            Need::Account => follower.killed(pid, target, tell),
            Need::Closer => follower.pressed(pid),
            Need::Look => follower.look(pid, tell),
        },
        // Who asked is told that there is no answer; the run goes on.
        Ask::Programs(mut present, to) => match follower.complete(&mut present) {
            Ok(()) => drop(to.send(present)),
            Err(why) => log::debug!("no answer: {why}"),
        },
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn pid(turn: Option<Turn>) -> Option<u32> {
        match turn {
            Some(Turn::Order(Order::Ask(Ask::UsesFree(pid)))) => Some(pid),
            _ => None,
        }
    }

    #[test]
    fn orders_come_as_they_were_asked_and_the_end_after_the_last() {
        let (orders, mut turns) = Orders::new(HOUR);
        for pid in 1..=3 {
            orders.ask(Ask::UsesFree(pid));
        }
        drop(orders);
        assert_eq!([1, 2, 3].map(|_| pid(turns.next())), [1, 2, 3].map(Some));
        assert!(turns.next().is_none());
    }

    #[test]
    fn a_tick_tells_what_is_done_and_waits_for_no_more_than_was_asked_before_the_last() {
        let (orders, mut turns) = Orders::new(Duration::ZERO);
        let Some(Turn::Tick(first_ns)) = turns.next() else { panic!("no tick") };
        orders.ask(Ask::UsesFree(1));
        orders.ask(Ask::UsesFree(2));
        turns.ticked();
        let between_ns = clock::monotonic_ns();
        orders.ask(Ask::UsesFree(3));
        // Both were asked while the first tick was under way.
        assert_eq!([pid(turns.next()), pid(turns.next())], [Some(1), Some(2)]);
        let Some(Turn::Tick(second_ns)) = turns.next() else { panic!("the third keeps the tick waiting") };
        assert!(first_ns < second_ns && second_ns < between_ns, "the third is not done");
        turns.ticked();
        assert_eq!(pid(turns.next()), Some(3));
        let Some(Turn::Tick(third_ns)) = turns.next() else { panic!("no tick") };
        assert!(third_ns > between_ns);
    }

    #[test]
    fn there_is_no_tick_once_there_are_to_be_none() {
        let (orders, mut turns) = Orders::new(Duration::ZERO);
        turns.stop_ticking();
        orders.ask(Ask::UsesFree(1));
        drop(orders);
        assert_eq!(pid(turns.next()), Some(1));
        assert!(turns.next().is_none());
    }
}
