//! What systemd is told, where it started us (`Type=notify`, `WatchdogSec=`); nobody else is told anything.
use sd_notify::NotifyState;

/// Half of the watchdog's time, as sd_watchdog_enabled(3) has it.
const SHARE: u64 = 2;

#[derive(Debug)]
pub(super) struct Supervisor {
    /// See [`Supervisor::every_ns`].
    every_ns: Option<u64>,
    told_ns: u64,
}

impl Supervisor {
    pub(super) fn new() -> Supervisor {
        Supervisor { every_ns: Supervisor::every_ns(), told_ns: 0 }
    }

    /// How often it wants to hear that we are alive; `None`: not at all.
    pub(super) fn every_ns() -> Option<u64> {
        let mut limit_us = 0;
        let is_watched = sd_notify::watchdog_enabled(false, &mut limit_us);
        is_watched.then(|| limit_us.saturating_mul(1000) / SHARE)
    }

    pub(super) fn ready(&self) {
        tell(&[NotifyState::Ready]);
    }

    /// To be called again and again by who does the work.
    pub(super) fn alive(&mut self, t_ns: u64) {
        if self.every_ns.is_some_and(|every_ns| t_ns.saturating_sub(self.told_ns) >= every_ns) {
            self.told_ns = t_ns;
            tell(&[NotifyState::Watchdog]);
        }
    }

    pub(super) fn stopping() {
        tell(&[NotifyState::Stopping]);
    }
}

fn tell(state: &[NotifyState]) {
    if let Err(why) = sd_notify::notify(false, state) {
        log::debug!("systemd was not told: {why}");
    }
}
